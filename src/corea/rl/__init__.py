"""Reinforcement learning: the loop (trainer), and its packages rollout, update and run."""
