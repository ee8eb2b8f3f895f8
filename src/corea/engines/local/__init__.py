"""The engine on a transformers model in this process, with its own decode loop."""
