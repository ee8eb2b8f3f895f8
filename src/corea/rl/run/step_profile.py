"""A trace of a few training steps by torch's profiler (trainer.profile), for chrome://tracing or https://ui.perfetto.dev."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

log = logging.getLogger(__name__)


class StepProfile:
    """Profiles the steps from the first to the last of `steps`, both included, and writes one file into `folder`."""

    def __init__(self, steps: Sequence[int] | None, folder: Path):
        """`steps`: one number or two; None: nothing is profiled."""
        self.steps = steps
        self.folder = folder
        self.running: profile | None = None
        self.first = 0

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around step `number` (from 1). A step that is abandoned ends the trace."""
        if self.steps is None or not self.steps[0] <= number <= self.steps[-1]:
            yield
            return
        if self.running is None:
            self._start(number)
        try:
            yield
        except BaseException:
            self.close(number)
            raise
        if number == self.steps[-1]:
            self.close(number)

    def _start(self, number: int) -> None:
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self.first = number
        self.running = profile(activities=activities)
        self.running.start()

    def close(self, last: int) -> None:
        """Write the trace of a run that stops after step `last`; nothing without one."""
        if self.running is None:
            return
        self.running.stop()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"profile-steps-{self.first}-{last}.json"
        self.running.export_chrome_trace(str(path))
        self.running = None
        steps = f"steps {self.first} to {last}" if last > self.first else f"step {last}"
        log.info("trace of %s: %s", steps, path)
