"""Seconds that a step spends in each of its phases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PHASES = ("rollout", "grade", "logprobs", "update", "wait", "sync", "validation", "save")


class PhaseTimer:
    """Adds up the seconds of each phase since the last `reset`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Start a step."""
        self.seconds = dict.fromkeys(PHASES, 0.0)

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to `phase`."""
        started = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - started
