"""Verdicts: is the parsed answer the gold one? One function a grader.

Answers are what a model wrote, so a grader never trusts them: long ones are wrong without being looked at, and what a
library raises on them means wrong.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from corea.errors import UserError
from corea.types import Parsed, Question, Status

log = logging.getLogger(__name__)

MAX_ANSWER = 1000
"""Characters; a longer answer is wrong."""
MATH_SECONDS = 10
_NUMBER = re.compile(r"[-+]?(?:[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)(?:\s*/\s*[0-9]+(?:\.[0-9]*)?)?")
_LETTER = re.compile(r"\(?([A-Za-z])\)?(?:[.:)]?|[.:)].*)", re.DOTALL)


def grade(question: Question, parsed: Parsed) -> bool | None:
    """Whether the answer is correct; an answer that is missing is not.

    Returns:
        None where there is nothing to judge: the engine failed (status error).

    Raises:
        UserError: the question names an unknown grader.
    """
    if question.grader not in GRADERS:
        raise UserError(f"question {question.id}: grader={question.grader}: allowed is {', '.join(GRADERS)}")
    if parsed.status is Status.ERROR:
        return None
    if parsed.answer is None or len(parsed.answer) > MAX_ANSWER:
        return False
    return GRADERS[question.grader](question, parsed.answer)


def _squash(text: str) -> str:
    return " ".join(text.split())


def exact(question: Question, answer: str) -> bool:
    """The same text, runs of white space aside."""
    return _squash(answer) == _squash(question.gold)


def read_number(text: str) -> Fraction | None:
    """The last number in a text, exactly: "$1,234.50" is 2469/2, "3/4 of them" is 3/4; None without one."""
    found = _NUMBER.findall(text.replace("\\$", "").replace("$", ""))
    if not found:
        return None
    above, _, below = found[-1].replace(",", "").replace(" ", "").partition("/")
    denominator = Fraction(Decimal(below)) if below else Fraction(1)
    return Fraction(Decimal(above)) / denominator if denominator else None


def numeric(question: Question, answer: str) -> bool:
    """The same number; gold may be a whole GSM8K solution that ends in `#### 18`."""
    gold, given = read_number(question.gold.rpartition("####")[2]), read_number(answer)
    return gold is not None and gold == given


def read_choice(text: str, options: dict[str, str]) -> str | None:
    """Letter of a choice: the text of an option, or "B", "(b)", "B." and "B) because ..."."""
    plain = _squash(text).casefold().rstrip(".")
    for letter, option in options.items():
        if plain == _squash(option).casefold().rstrip("."):
            return letter.upper()
    match = _LETTER.fullmatch(_squash(text))
    return match[1].upper() if match else None


def choice(question: Question, answer: str) -> bool:
    """The same option; `meta["options"]` ({letter: text}) lets an option's text stand for its letter."""
    options = question.meta.get("options") or {}
    gold = read_choice(question.gold, options)
    return gold is not None and gold == read_choice(answer, options)


@lru_cache(maxsize=1)
def _warm_math() -> None:
    """The first call builds large grammars; on a busy machine that alone can outlast the time limit."""
    from math_verify import parse, verify

    verify(parse("$1$", parsing_timeout=None), parse("$1$", parsing_timeout=None), timeout_seconds=None)


@lru_cache(maxsize=4096)
def _parse_math(text: str, seconds: int | None):
    from math_verify import parse

    boxed = text if "\\boxed" in text else f"\\boxed{{{text.strip().strip('$')}}}"
    return parse(boxed, parsing_timeout=seconds, raise_on_error=True)


def math(question: Question, answer: str) -> bool:
    """Equal as mathematics by math-verify, which wants the gold parsed too (a raw string compares as text).

    An answer that takes longer than MATH_SECONDS to compare is wrong, and a warning says so.
    """
    from math_verify import verify
    from math_verify.errors import TimeoutException

    _warm_math()
    # The time limit is an alarm signal, which only the main thread can set.
    seconds = MATH_SECONDS if threading.current_thread() is threading.main_thread() else None
    try:
        gold = _parse_math(question.gold, seconds)
        given = _parse_math(answer, seconds)
        return bool(verify(gold, given, timeout_seconds=seconds, raise_on_error=True))
    except TimeoutException:
        log.warning("question %s: comparing an answer of %d characters timed out", question.id, len(answer))
        return False
    except Exception:  # whatever a parser of LaTeX makes of what a model wrote
        return False


@lru_cache(maxsize=256)
def _task(name: str):
    import reasoning_gym

    return reasoning_gym.create_dataset(name, seed=0, size=1)


def reasoning_gym(question: Question, answer: str) -> bool:
    """Full marks of the task's own scorer: it gives part of them to answers that merely contain the gold."""
    try:
        return _task(question.meta["task"]).score_answer(answer, question.meta["entry"]) == 1.0
    except (ValueError, ArithmeticError, TypeError, IndexError, AttributeError):
        return False  # a scorer stumbled over what a model wrote


GRADERS: dict[str, Callable[[Question, str], bool]] = {
    "exact": exact,
    "numeric": numeric,
    "choice": choice,
    "math": math,
    "reasoning_gym": reasoning_gym,
}
