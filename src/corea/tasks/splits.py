"""Splits that do not share a question: test first, then calibration, then everything that trains."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from corea.errors import UserError
from corea.tasks.gym import mix_questions
from corea.types import Question


def normalise(text: str) -> str:
    """Lower case, single spaces: two questions with the same key count as the same question."""
    return re.sub(r"\s+", " ", text.strip().lower())


def partition(text: str) -> str:
    """ "test" (1/16 of all texts), "calibration" (1/16) or "train", from a hash of the normalised text alone.

    A question therefore belongs to the same side in every mix, with any weights and seed: what trained yesterday's
    weights cannot turn up in tomorrow's test split.
    """
    bucket = hashlib.sha256(normalise(text).encode()).digest()[0] % 16
    return {0: "test", 1: "calibration"}.get(bucket, "train")


@dataclass(slots=True)
class SplitReport:
    """Exact counts of a training stream: what was drawn, and what was left out because it is held out."""

    drawn: int = 0
    dropped: int = 0

    def __str__(self) -> str:
        return f"{self.drawn} questions drawn, {self.dropped} dropped because they belong to calibration or test"


def held_out(sources: Sequence[dict[str, Any]], split: str, size: int, *, dataset: str, seed: int) -> list[Question]:
    """`size` distinct questions of the "calibration" or "test" side.

    Raises:
        UserError: the sources cannot supply that many distinct questions.
    """
    chosen: dict[str, Question] = {}
    for drawn, question in enumerate(mix_questions(sources, dataset=dataset, split=split, seed=seed)):
        if len(chosen) == size:
            break
        if drawn > 200 * size + 10_000:
            raise UserError(
                f"data {dataset!r}: only {len(chosen)} distinct questions for split {split!r}, {size} wanted; "
                "widen the difficulty parameters or ask for fewer"
            )
        if partition(question.text) == split:
            chosen.setdefault(normalise(question.text), question)
    return list(chosen.values())


def training_only(stream: Iterable[Question], report: SplitReport) -> Iterator[Question]:
    """Pass on the questions of the training side; count all of them in `report`."""
    for question in stream:
        report.drawn += 1
        if partition(question.text) == "train":
            yield question
        else:
            report.dropped += 1
