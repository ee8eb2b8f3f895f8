"""Names of graders. Imports none of them, so that configurations can be checked without loading any."""

from __future__ import annotations

from corea.types import Question

LIGHT = ("exact", "numeric", "choice")
"""Graders that always run in this process: linear in the answer, and nothing is evaluated."""
NAMES = (*LIGHT, "math", "reasoning_gym")


def is_own(name: str) -> bool:
    """Whether a grader's name is that of a function of the user's: "module:function" or "file.py:function"."""
    module, colon, function = name.rpartition(":")
    return bool(colon and module) and function.isidentifier()


def known_grader(name: str) -> bool:
    """Whether a question may name this grader."""
    return name in NAMES or is_own(name)


def allowed_graders() -> str:
    """For messages."""
    return f"{', '.join(NAMES)}, or module:function"


def kind(grader: str, question: Question) -> tuple[str, str]:
    """What a worker has to import once: a grader, or a task with its scorer."""
    return grader, question.meta.get("task", "") if grader == "reasoning_gym" else ""
