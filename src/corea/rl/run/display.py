"""Progress of a run: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping

EVERY_SECONDS = 5.0
"""Minimum time between two plain lines; the first and the last step are always printed."""
BAR = 16
BAR_AND_COUNTS = BAR + 33
"""Characters of the live line before its metrics: "train", the bar, up to 9,999 steps, remaining time."""


def metrics_line(metrics: Mapping[str, float]) -> str:
    """The main metrics in one line."""
    return (
        f"reward {metrics['reward']:.3f}  pass@1 {metrics['pass@1']:.3f}  ECE {metrics['ece']:.3f}  "
        f"AUROC {metrics['auroc']:.3f}  confidence {metrics['confidence/mean']:.2f}±{metrics['confidence/std']:.2f}  "
        f"{metrics['seconds/step']:.2f} s/step"
    )


def shorten(text: str, width: int) -> str:
    """Drop metrics at the end of `text` until it fits into `width` characters."""
    while len(text) > width and "  " in text:
        text = text.rpartition("  ")[0]
    return text


class PlainDisplay:
    """Prints one line every EVERY_SECONDS."""

    def __init__(self, steps: int):
        self.steps = steps
        self.last = float("-inf")

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the metrics of step `step` (from 1)."""
        now = time.monotonic()
        if now - self.last >= EVERY_SECONDS or step == self.steps:
            self.last = now
            print(f"step {step}/{self.steps}  {metrics_line(metrics)}", flush=True)


class LiveDisplay:
    """A progress bar with metrics beside it; log lines appear above it."""

    def __init__(self, steps: int, done: int):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("train"),
            BarColumn(bar_width=BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
        )
        self.handlers: list[logging.StreamHandler] = []
        self.task = self.progress.add_task("train", total=steps, completed=done, metrics="")

    def __enter__(self) -> LiveDisplay:
        streams = (h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler))
        handlers = [handler for handler in streams if handler.stream is sys.stdout]
        self.progress.start()
        for handler in handlers:  # log lines go through the bar's stream, which prints above it
            handler.setStream(sys.stdout)
        self.handlers = handlers
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
        for handler in self.handlers:
            handler.setStream(sys.stdout)

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show the metrics of step `step` (from 1)."""
        width = self.progress.console.width - BAR_AND_COUNTS
        self.progress.update(self.task, completed=step, metrics=shorten(metrics_line(metrics), width))


class NoDisplay(PlainDisplay):
    """Prints nothing; for all ranks except 0."""

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Prints nothing."""


def build_display(steps: int, done: int, *, silent: bool) -> PlainDisplay | LiveDisplay:
    """A live bar on a terminal, plain lines elsewhere, nothing if `silent`."""
    if silent:
        return NoDisplay(steps)
    return LiveDisplay(steps, done) if sys.stdout.isatty() else PlainDisplay(steps)
