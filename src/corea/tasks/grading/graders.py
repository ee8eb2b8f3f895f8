"""One function per grader: (question, answer) -> Verdict. The user's own functions return True, False or None instead.

Answers come from a model and are not trusted: in this process only the bounded reader of expressions evaluates them.
math-verify and the scorers of most reasoning-gym tasks run in a worker of the pool.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from corea.tasks.grading.choices import choice, read_choice
from corea.tasks.grading.mathematics import math
from corea.tasks.grading.numeric import numeric, read_number
from corea.tasks.grading.rulings import CORRECT, unreadable_gold, wrong
from corea.types import Question, Verdict

MAX_ANSWER = 1000
"""Maximum characters of an answer; a longer one is wrong."""


def plain_text(text: str) -> str:
    """The text with single spaces, stripped, without invisible characters."""
    return " ".join("".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf").split())


def exact(question: Question, answer: str) -> Verdict:
    """The same text, ignoring invisible characters and the amount of white space."""
    gold = plain_text(question.gold)
    if not gold:
        return unreadable_gold(question.gold, "it is empty")
    return CORRECT if plain_text(answer) == gold else wrong("not the gold's text")


@lru_cache(maxsize=256)
def gym_task(name: str) -> Any:
    """The scorer of a reasoning-gym task."""
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=0, size=1)


def reasoning_gym(question: Question, answer: str) -> Verdict:
    """The maximum score of the task's own scorer; answers that merely contain the gold get less."""
    try:
        score = gym_task(question.meta["task"]).score_answer(answer, question.meta["entry"])
    except (ValueError, ArithmeticError, TypeError, IndexError, AttributeError) as error:
        # a scorer may raise anything on text that a model wrote
        return wrong(f"the task's scorer cannot read it ({type(error).__name__})")
    return CORRECT if score == 1.0 else wrong(f"the task's scorer gives {score:.2g} of 1")


GRADERS: dict[str, Callable[[Question, str], Verdict]] = {
    "exact": exact,
    "numeric": numeric,
    "choice": choice,
    "math": math,
    "reasoning_gym": reasoning_gym,
}

__all__ = ["GRADERS", "MAX_ANSWER", "exact", "gym_task", "read_choice", "read_number", "reasoning_gym"]
