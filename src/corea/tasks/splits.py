"""Splits that share no question: a hash of the text assigns every procedural question to one of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from corea.tasks.question_text import partition
from corea.types import Question


@dataclass(slots=True)
class SplitReport:
    """Exact counts of a training stream."""

    read: int = 0
    """Questions read from the sources."""
    dropped: int = 0
    """Of these, questions left out because they belong to a held-out split."""

    def __add__(self, other: SplitReport) -> SplitReport:
        return SplitReport(read=self.read + other.read, dropped=self.dropped + other.dropped)

    def __str__(self) -> str:
        return f"{self.read} questions read, {self.dropped} dropped because they are held out"


def is_procedural(question: Question) -> bool:
    """True for generated questions, whose split follows from their text; a data set assigns its own splits."""
    return question.grader == "reasoning_gym"


def training_only(stream: Iterable[Question], report: SplitReport) -> Iterator[Question]:
    """Yield the questions of the training split; count all of them in `report`."""
    for question in stream:
        report.read += 1
        if not is_procedural(question) or partition(question.text) == "train":
            yield question
        else:
            report.dropped += 1
