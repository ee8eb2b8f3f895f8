"""Progress of asking a model: questions, tokens per second, dollars."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from corea.display import Bar, progress, say


class AskingProgress:
    """Counts the questions that one model has answered."""

    def __init__(self, bar: Bar, spent: Callable[[], float | None]) -> None:
        """`spent` returns the dollars so far, None if the model is free or prices are unknown."""
        self.bar, self.spent, self.spent_before = bar, spent, spent()
        self.done = bar.done
        """Questions whose answers are stored."""
        self.tokens = 0
        self.started = time.perf_counter()

    def answered(self, questions: int) -> None:
        """Count answered questions that are not stored yet."""
        self.bar.advance(questions, self.figures(self.bar.done + questions))

    def kept(self, questions: int, tokens: int) -> None:
        """Count stored questions and their tokens; they include all questions counted by `answered`."""
        self.done += questions
        self.tokens += tokens
        self.bar.update(self.done, self.figures(self.done))

    def figures(self, now: int) -> str:
        """Speed, cost so far and expected total cost, after `now` questions."""
        parts = []
        if self.tokens:
            parts.append(f"{self.tokens / max(time.perf_counter() - self.started, 1e-9):,.0f} tokens/s")
        spent, before, total = self.spent(), self.bar.before, self.bar.total
        if spent is not None:
            parts.append(f"${spent:.4f}")
            if before < now < total:
                rate = (spent - (self.spent_before or 0.0)) / (now - before)
                parts.append(f"${spent + rate * (total - now):.4f} expected in total")
        return "  ".join(parts)


@contextmanager
def asking(
    name: str, total: int, done: int = 0, spent: Callable[[], float | None] = lambda: None
) -> Iterator[AskingProgress]:
    """Progress of the model `name`; `done` of `total` questions were answered by an earlier run."""
    if done:
        say(f"{name}: {done} of {total} questions were answered by an earlier run")
    with progress(name, total, done, always=True) as bar:
        yield AskingProgress(bar, spent)
