"""What a grading worker must import, by the name of the grader. Imports no grader."""

from __future__ import annotations

from corea.config.allowed_names import LIGHT, allowed_graders, is_own, known_grader
from corea.types import Question

__all__ = ["LIGHT", "allowed_graders", "is_own", "kind", "known_grader"]


def kind(grader: str, question: Question) -> tuple[str, str]:
    """What a worker must import once: a grader, or a task with its scorer."""
    return grader, question.meta.get("task", "") if grader == "reasoning_gym" else ""
