"""Seconds that a step spends in each of its phases, and their peak memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PHASES = ("rollout", "grade", "logprobs", "update", "wait", "sync", "validation", "save")


class Meter(Protocol):
    """Measures peak memory; corea.rl.run.memory_meter."""

    def start(self) -> None:
        """Forget the peak so far."""

    def peak_bytes(self) -> float:
        """The peak in bytes."""


class PhaseTimer:
    """Adds up the seconds of each phase since the last `reset`, and keeps its peak memory if there is a meter."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Start a step."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.peaks = {}

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to `phase`."""
        if self.meter is not None:
            self.meter.start()
        started = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - started
        if self.meter is not None:
            self.peaks[phase] = max(self.peaks.get(phase, 0.0), self.meter.peak_bytes())

    def memory_metrics(self) -> dict[str, float]:
        """Peak of each phase of the step that ran, in GiB."""
        return {f"memory/{phase}_gib": peak / 2**30 for phase, peak in self.peaks.items()}
