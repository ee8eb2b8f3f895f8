"""How far it is: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY_S = 10.0
"""Seconds between two lines of a log."""


class Progress:
    """Questions answered by one model, and its speed."""

    def __init__(self, name: str, total: int, done: int = 0):
        """`done` of `total` questions were answered by an earlier start."""
        self.name, self.total, self.done = name, total, done
        self.tokens = 0
        self.started = self.last = time.perf_counter()
        console = Console()
        self.bar: Bar | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
            )
            self.bar = Bar(*columns, TimeRemainingColumn(), console=console)
            self.task = self.bar.add_task(name, total=total, completed=done, speed="")
        elif done:
            print(f"{name}: {done} of {total} questions were answered before", flush=True)

    def __enter__(self) -> Progress:
        if self.bar is not None:
            self.bar.start()
        return self

    def advance(self, questions: int, tokens: int) -> None:
        """So many more questions are answered, with so many tokens."""
        self.done += questions
        self.tokens += tokens
        now = time.perf_counter()
        speed = f"{self.tokens / max(now - self.started, 1e-9):,.0f} tokens/s"
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, speed=speed)
        elif now - self.last >= EVERY_S or self.done == self.total:
            print(f"{self.name}: {self.done} of {self.total} questions, {speed}", flush=True)
            self.last = now

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
