"""Gold answers that their grader cannot read, found before a run spends anything on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from corea.tasks.grading.names import is_own
from corea.tasks.grading.verdicts import grade_many
from corea.types import Outcome, Question

PROBE = "0"
"""An answer that every grader can read; its verdict shows whether the gold is readable."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A question whose gold the grader cannot read."""

    question: Question
    note: str


def unreadable_golds(questions: Iterable[Question]) -> list[Unreadable]:
    """The questions whose gold their grader cannot read. The user's own graders and reasoning-gym are not checked."""
    asked = [q for q in questions if q.grader != "reasoning_gym" and not is_own(q.grader)]
    verdicts = grade_many(asked, [PROBE] * len(asked))
    return [Unreadable(q, v.note) for q, v in zip(asked, verdicts, strict=True) if v.outcome is Outcome.UNREADABLE_GOLD]


def unreadable_warning(questions: Iterable[Question]) -> str | None:
    """One line for the log before a run starts; None if every gold can be read."""
    questions = list(questions)
    found = unreadable_golds(questions)
    if not found:
        return None
    first = found[0]
    return (
        f"{len(found):,} of {len(questions):,} gold answers cannot be read by their grader and count as "
        f"neither right nor "
        f"wrong; first question {first.question.id} ({first.question.grader}): {first.note}"
    )
