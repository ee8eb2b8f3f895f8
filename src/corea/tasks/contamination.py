"""Training questions that repeat one another, or that are known from calibration or test.

A question counts as known if its normalised text is that of a held-out question, or if they share 13 words in a row:
the overlap that the GPT-3 paper (arXiv 2005.14165, appendix C) looks for. Words are runs of letters and digits in
lower case, so punctuation and LaTeX's signs do not hide an overlap.
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
    """Exact counts of one source's training questions."""

    source: str
    questions: int = 0
    duplicates: int = 0
    """Repeat an earlier one, of this or another source."""
    same_text: int = 0
    """Are a held-out question."""
    overlap: int = 0
    """Share 13 words in a row with a held-out question, without being one."""
    kept: int = 0

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.questions} training questions, {self.duplicates} duplicates, {self.same_text} equal "
            f"to a held-out question, {self.overlap} that share {GRAM} words in a row with one; {self.kept} are used"
        )


def grams(text: str) -> Iterator[tuple[str, ...]]:
    """Every run of 13 words."""
    words = _WORD.findall(text.lower())
    for start in range(len(words) - GRAM + 1):
        yield tuple(words[start : start + GRAM])


class Known:
    """What the held-out questions give away: their texts and their runs of 13 words."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.grams: set[tuple[str, ...]] = set()

    def add(self, questions: Iterable[Question]) -> None:
        """Questions that training must not see."""
        for question in questions:
            self.texts.add(normalise(question.text))
            self.grams.update(grams(question.text))


def screen(
    questions: Sequence[Question], known: Known, source: str, seen: set[str]
) -> tuple[list[tuple[Question, str]], Screening]:
    """Each training question with "" (clean), "duplicate" or "contaminated"; and the counts.

    Args:
        seen: normalised texts of the training questions before these; these are added.
    """
    screening, found = Screening(source, len(questions)), []
    for question in questions:
        text, reason = normalise(question.text), ""
        if text in seen:
            reason = "duplicate"
            screening.duplicates += 1
        elif text in known.texts:
            reason = "contaminated"
            screening.same_text += 1
        elif any(gram in known.grams for gram in grams(question.text)):
            reason = "contaminated"
            screening.overlap += 1
        seen.add(text)
        found.append((question, reason))
    return found, screening
