"""Finds training questions that repeat each other or that occur in a held-out split.

A training question is contaminated if its normalised text equals that of a held-out question, or if the two share 13
words in a row, as in the GPT-3 paper (arXiv 2005.14165, appendix C). Words are lower-case runs of letters and
digits, so punctuation and LaTeX commands do not hide an overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from corea.tasks.question_text import normalise
from corea.types import Question

GRAM = 13
_WORD = re.compile(r"[^\W_]+")


@dataclass(slots=True)
class Screening:
    """Exact counts of the training questions of one source."""

    source: str
    questions: int = 0
    duplicates: int = 0
    """Repeat an earlier question of this or another source."""
    same_text: int = 0
    """Equal a held-out question."""
    overlap: int = 0
    """Share 13 words in a row with a held-out question, but do not equal one."""
    kept: int = 0

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.questions} training questions, {self.duplicates} duplicates, {self.same_text} equal "
            f"to a held-out question, {self.overlap} that share {GRAM} words in a row with one; {self.kept} are used"
        )


def grams(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of 13 consecutive words."""
    words = _WORD.findall(text.lower())
    for start in range(len(words) - GRAM + 1):
        yield tuple(words[start : start + GRAM])


class HeldOut:
    """Texts and 13-word runs of the held-out questions."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.grams: set[tuple[str, ...]] = set()

    def add(self, questions: Iterable[Question]) -> None:
        """Add questions that training must not contain."""
        for question in questions:
            self.texts.add(normalise(question.text))
            self.grams.update(grams(question.text))


def screen(
    questions: Sequence[Question], held_out: HeldOut, source: str, seen: set[str]
) -> tuple[list[tuple[Question, str]], Screening]:
    """Label each training question "" (clean), "duplicate" or "contaminated", and count them.

    Args:
        seen: normalised texts of earlier training questions; those of `questions` are added.
    """
    screening, found = Screening(source, len(questions)), []
    for question in questions:
        text, reason = normalise(question.text), ""
        if text in seen:
            reason = "duplicate"
            screening.duplicates += 1
        elif text in held_out.texts:
            reason = "contaminated"
            screening.same_text += 1
        elif any(gram in held_out.grams for gram in grams(question.text)):
            reason = "contaminated"
            screening.overlap += 1
        seen.add(text)
        found.append((question, reason))
    return found, screening
