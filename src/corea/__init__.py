"""corea: COllaborative REAsoner. Train a small model to know when it is right, and put it in front of a large one."""

__version__ = "0.1.0"
