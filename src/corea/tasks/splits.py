"""Splits that do not share a question: test first, then calibration, then everything that trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from corea.tasks.question_text import partition
from corea.types import Question


@dataclass(slots=True)
class SplitReport:
    """Exact counts of a training stream: what was drawn, and what was left out because it is held out."""

    drawn: int = 0
    dropped: int = 0

    def __str__(self) -> str:
        return f"{self.drawn} questions drawn, {self.dropped} dropped because they belong to calibration or test"


def is_procedural(question: Question) -> bool:
    """Made on the spot by a task: which split it belongs to shows only once it is there. Data sets know beforehand."""
    return question.grader == "reasoning_gym"


def training_only(stream: Iterable[Question], report: SplitReport) -> Iterator[Question]:
    """Pass on the questions of the training side; count all of them in `report`."""
    for question in stream:
        report.drawn += 1
        if not is_procedural(question) or partition(question.text) == "train":
            yield question
        else:
            report.dropped += 1
