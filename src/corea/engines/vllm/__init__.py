"""Engines on vLLM: in this process, or on a server whose weights the trainer updates."""
