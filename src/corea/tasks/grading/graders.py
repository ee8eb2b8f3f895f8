"""One function a grader: (question, answer) -> True, False, or None where the answer cannot be read.

Answers are what a model wrote, so nothing here evaluates them, and every function is linear in their length. The
exceptions, `math` and the scorers of most reasoning-gym tasks, only run inside a worker of the pool.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from corea.tasks.grading.mathematics import equal
from corea.types import Question

MAX_ANSWER = 1000
"""Characters; a longer answer is wrong."""
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_NUMBER = re.compile(
    rf"(?:(?<![\w.)])[-+]\s*)?(?:[0-9]+\s+[0-9]+/[0-9]+|(?:{_DIGITS})(?:[eE][-+]?[0-9]{{1,3}})?(?:\s*/\s*(?:{_DIGITS}))?)"
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([0-9.]+)\s*\}\s*\{\s*([0-9.]+)\s*\}")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\s*\{([^{}]*)\}|\*\*([^*]*)\*\*")
_LEAD = re.compile(
    r"(?:the )?(?:correct |final |best )*(?:answer|option|choice)(?: is)?(?: option)?[:\s]+", re.IGNORECASE
)
_LETTER = re.compile(r"\(?([A-Za-z])\)?(?:[.:)]?|[.:)].*)", re.DOTALL)


def squash(text: str) -> str:
    """Single spaces, none at the ends."""
    return " ".join(text.split())


def exact(question: Question, answer: str) -> bool:
    """The same text, runs of white space aside."""
    return squash(answer) == squash(question.gold)


def read_number(text: str) -> Fraction | None:
    """The last number in a text, exactly: "$1,234.50" is 2469/2, "3/4 of them" is 3/4, "1 1/2" 3/2; else None."""
    plain = text.replace("\\$", "").replace("$", "").replace("\u2212", "-").replace("{,}", ",")
    found = _NUMBER.findall(_FRACTION.sub(r" \1/\2 ", plain))
    return number_value(found[-1]) if found else None


def number_value(text: str) -> Fraction | None:
    """The value of one number as `read_number` finds it; None for a division by zero."""
    text = text.strip().replace(",", "")
    sign = -1 if text.startswith("-") else 1
    whole, space, rest = text.lstrip("+-").strip().partition(" ")
    if space and "/" in rest and rest[0].isdigit() and "/" not in whole:
        rest, addend = rest, Fraction(Decimal(whole))
    else:
        rest, addend = whole + rest, Fraction(0)
    above, _, below = rest.replace(" ", "").partition("/")
    denominator = Fraction(Decimal(below)) if below else Fraction(1)
    return sign * (addend + Fraction(Decimal(above)) / denominator) if denominator else None


def numeric(question: Question, answer: str) -> bool | None:
    """The same number; gold may be a whole GSM8K solution that ends in `#### 18`."""
    gold, given = read_number(question.gold.rpartition("####")[2]), read_number(answer)
    if gold is None:
        raise ValueError(f"gold {question.gold[:60]!r} holds no number")
    return None if given is None else gold == given


def read_choice(text: str, options: dict[str, str]) -> str | None:
    """Letter of a choice: the text of an option, or "B", "(b)", "B.", "Option B" and "B) because ..."."""
    plain = squash(_WRAPPED.sub(r"\1\2", text).replace("$", ""))
    for candidate in (plain, _LEAD.sub("", plain, count=1)):
        folded = candidate.casefold().rstrip(".")
        for letter, option in options.items():
            if folded == squash(option).casefold().rstrip("."):
                return letter.upper()
    match = _LETTER.fullmatch(_LEAD.sub("", plain, count=1))
    return match[1].upper() if match else None


def choice(question: Question, answer: str) -> bool | None:
    """The same option; `meta["options"]` ({letter: text}) lets an option's text stand for its letter."""
    options = question.meta.get("options") or {}
    gold, given = read_choice(question.gold, options), read_choice(answer, options)
    if gold is None:
        raise ValueError(f"gold {question.gold[:60]!r} is no letter and no option")
    return None if given is None else gold == given


def math(question: Question, answer: str) -> bool | None:
    """Equal as mathematics, by math-verify. May take any time and memory: for a worker of the pool."""
    return equal(question.gold, answer)


@lru_cache(maxsize=256)
def gym_task(name: str):
    """The scorer of a reasoning-gym task."""
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=0, size=1)


def reasoning_gym(question: Question, answer: str) -> bool:
    """Full marks of the task's own scorer: it gives part of them to answers that merely contain the gold."""
    try:
        return gym_task(question.meta["task"]).score_answer(answer, question.meta["entry"]) == 1.0
    except (ValueError, ArithmeticError, TypeError, IndexError, AttributeError):
        return False  # a scorer stumbled over what a model wrote


GRADERS: dict[str, Callable[[Question, str], bool | None]] = {
    "exact": exact,
    "numeric": numeric,
    "choice": choice,
    "math": math,
    "reasoning_gym": reasoning_gym,
}
