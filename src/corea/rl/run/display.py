"""Progress of a run: a live bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping

EVERY_SECONDS = 5.0
"""Least time between two plain lines; the first and the last step always get one."""
BAR = 16
BAR_AND_COUNTS = BAR + 33
"""Characters of the live line before its figures: "train", the bar, up to 9,999 steps, the time that remains."""


def line(metrics: Mapping[str, float]) -> str:
    """The figures that matter most, in one line."""
    return (
        f"reward {metrics['reward']:.3f}  pass@1 {metrics['pass@1']:.3f}  ECE {metrics['ece']:.3f}  "
        f"AUROC {metrics['auroc']:.3f}  confidence {metrics['confidence/mean']:.2f}±{metrics['confidence/std']:.2f}  "
        f"{metrics['seconds/step']:.2f} s/step"
    )


def shortened(text: str, width: int) -> str:
    """As many figures of `text`, from the left, as fit into `width` characters."""
    while len(text) > width and "  " in text:
        text = text.rpartition("  ")[0]
    return text


class PlainDisplay:
    """One line now and then."""

    def __init__(self, steps: int):
        self.steps = steps
        self.last = float("-inf")

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to clean up."""

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """`step` steps are done."""
        now = time.monotonic()
        if now - self.last >= EVERY_SECONDS or step == self.steps:
            self.last = now
            print(f"step {step}/{self.steps}  {line(metrics)}", flush=True)


class LiveDisplay:
    """A bar that stays in place, with the figures beside it; log lines appear above it."""

    def __init__(self, steps: int, done: int):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("train"),
            BarColumn(bar_width=BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self.handlers: list[logging.StreamHandler] = []
        self.task = self.progress.add_task("train", total=steps, completed=done, figures="")

    def __enter__(self) -> LiveDisplay:
        handlers = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is sys.stdout]
        self.progress.start()
        for handler in handlers:  # log lines go through the bar's own stream, above it
            handler.setStream(sys.stdout)
        self.handlers = handlers
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
        for handler in self.handlers:
            handler.setStream(sys.stdout)

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """`step` steps are done."""
        room = self.progress.console.width - BAR_AND_COUNTS
        self.progress.update(self.task, completed=step, figures=shortened(line(metrics), room))


class NoDisplay(PlainDisplay):
    """For the processes that stay silent."""

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Says nothing."""


def build_display(steps: int, done: int, *, silent: bool) -> PlainDisplay | LiveDisplay:
    """The display that fits where the output goes."""
    if silent:
        return NoDisplay(steps)
    return LiveDisplay(steps, done) if sys.stdout.isatty() else PlainDisplay(steps)
