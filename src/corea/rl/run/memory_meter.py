"""Peak memory of this process: of torch's allocator on a GPU, else of the resident set."""

from __future__ import annotations

import resource
import sys

import torch

RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes of the unit in which the operating system gives the peak of the resident set."""


class MemoryMeter:
    """Measures the peak between `start` and `peak_bytes` on a GPU. On a CPU the peak is that since the process started:
    resetting it would also change what the operating system reports about the process."""

    def __init__(self) -> None:
        self.on_gpu = torch.cuda.is_available()

    def start(self) -> None:
        """Forget the peak so far, on a GPU."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> float:
        """The peak in bytes."""
        if self.on_gpu:
            return float(torch.cuda.max_memory_allocated())
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT)
