"""Progress and cost: a bar in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY_S = 10.0
"""Seconds between two lines of a log."""


class Progress:
    """Progress, speed and cost of one model."""

    def __init__(self, name: str, total: int, done: int = 0, spent: Callable[[], float | None] = lambda: None):
        """`done` of `total` questions were answered by an earlier run; `spent` returns the dollars so far, None if
        the model is free or prices are unknown."""
        self.name, self.total, self.done, self.before = name, total, done, done
        self.under_way = 0
        """Answered questions that are not stored yet."""
        self.spent, self.spent_before = spent, spent()
        self.tokens = 0
        self.started = self.last = time.perf_counter()
        console = Console()
        self.bar: Bar | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
            )
            self.bar = Bar(*columns, TimeRemainingColumn(), console=console)
            self.task = self.bar.add_task(name, total=total, completed=done, figures="")
        elif done:
            print(f"{name}: {done} of {total} questions were answered by an earlier run", flush=True)

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def answered(self, questions: int) -> None:
        """Count answered questions that are not stored yet."""
        self.under_way += questions
        self._show()

    def kept(self, questions: int, tokens: int) -> None:
        """Count stored questions and their tokens; they include all questions counted by `answered`."""
        self.done += questions
        self.under_way = 0
        self.tokens += tokens
        self._show()

    def figures(self) -> str:
        """Speed, cost so far and expected total cost."""
        parts = []
        if self.tokens:
            parts.append(f"{self.tokens / max(time.perf_counter() - self.started, 1e-9):,.0f} tokens/s")
        spent, now = self.spent(), self.done + self.under_way
        if spent is not None:
            parts.append(f"${spent:.4f}")
            if now > self.before and now < self.total:
                rate = (spent - (self.spent_before or 0.0)) / (now - self.before)
                parts.append(f"${spent + rate * (self.total - now):.4f} expected in total")
        return ", ".join(parts)

    def _show(self) -> None:
        done = self.done + self.under_way
        if self.bar is not None:
            self.bar.update(self.task, completed=done, figures=self.figures())
            return
        now = time.perf_counter()
        if now - self.last >= EVERY_S or self.done == self.total:
            figures = self.figures()
            print(f"{self.name}: {done} of {self.total} questions{', ' if figures else ''}{figures}", flush=True)
            self.last = now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
