"""Reinforcement learning: the loop (trainer), and its rooms rollout/, update/ and run/."""
