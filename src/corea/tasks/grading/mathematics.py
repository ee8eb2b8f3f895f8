"""Equality as mathematics: first by exact numbers and text, which is cheap and safe, then by math-verify.

math-verify (https://github.com/huggingface/Math-Verify) wants the gold parsed too: a raw string compares as text, which
is how labels go wrong that other systems have published. Its own time limit is an alarm signal that only the main
thread can set; here the limits are those of the worker process instead.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

ROUNDING = Fraction(1, 1000)
"""Numbers further apart are different, however math-verify rounds them."""
_INTEGER = r"[-+]?\s*(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,300})"
_PLAIN = re.compile(rf"{_INTEGER}(\.[0-9]{{1,300}})?|[-+]?(\.[0-9]{{1,300}})")
_START = re.compile(
    rf"(?:{_INTEGER}(?:\.[0-9]{{1,300}})?(?:\s*/\s*[0-9]{{1,300}})?|[-+]?\.[0-9]{{1,300}})(?![0-9.,]*[0-9])"
)
_PI = re.compile(r"(?<![\\A-Za-z])pi(?![A-Za-z])")
_RATIO = re.compile(
    r"([-+]?)\s*(?:\\[dt]?frac\s*\{\s*([0-9]{1,300})\s*\}\s*\{\s*([0-9]{1,300})\s*\}|([0-9]{1,300})\s*/\s*([0-9]{1,300}))"
)


def strip_math(text: str) -> str:
    """Without white space at the ends, dollar signs around it and a full stop behind it."""
    return text.strip().strip("$").strip().rstrip(".").strip()


def plain_number(text: str) -> tuple[Fraction, bool] | None:
    """(value, written exactly) of "1,234", "-0.5", "14/3" or "\\frac{14}{3}"; None for anything else."""
    if match := _PLAIN.fullmatch(text):
        return Fraction(Decimal(text.replace(",", "").replace(" ", ""))), not (match[1] or match[2])
    if match := _RATIO.fullmatch(text):
        above, below = (match[2], match[3]) if match[2] else (match[4], match[5])
        if int(below) == 0:
            return None
        return Fraction(int(f"{match[1]}{above}"), int(below)), True
    return None


_ORDINAL = re.compile(r"\^?\{?\\?(?:mathrm|text|textrm)?\{?(?:st|nd|rd|th)\b\}*")
_WORD = r"(?>\\(?:text|mathrm|textrm|mbox)\{[A-Za-z .]*+\}|[A-Za-z]{2,}+\.?+)(?:\^\{?[23]\}?)?+"
_UNITS = re.compile(rf"\s*+(?:\\?%|°|\^\{{?\\circ\}}?|\\degree)?+(?:\s*+/?+\s*+{_WORD})*+")
"""Possessive throughout: an answer must not be able to make it try every way to split a text into words."""
_NOT_UNITS = re.compile(
    r"(?:pi|sqrt|sin|cos|tan|cot|sec|csc|log|ln|exp|hundred|thousand|million|billion|trillion|dozen|squared|cubed|"
    r"factorial|half|third|quarter|mod|or|and|to|plus|minus|times|over)"
)


def without_unit(text: str) -> str:
    """The number in front of nothing but words: "2000 calories", "12th grade", "10%", "4 \\text{ cm}^2"; or `text`."""
    match = _START.match(text)
    if match is None:
        return text
    rest = _ORDINAL.sub("", text[match.end() :], count=1)
    words = re.findall(r"[a-z]+", rest.lower())
    unit = _UNITS.fullmatch(rest) and not any(_NOT_UNITS.fullmatch(w) for w in words)
    return match[0] if unit else text


def quick_equal(gold: str, answer: str) -> bool | None:
    """The verdict where exact numbers or the very text settle it; None: math-verify has to look."""
    gold, answer = strip_math(gold), strip_math(answer)
    if gold and "".join(gold.split()) == "".join(answer.split()):
        return True
    one = plain_number(gold)
    if one is None:
        return None
    other = plain_number(answer)
    if other is None:  # gold says which number, not of what: an answer with its unit is that number
        named = plain_number(without_unit(answer))
        if named is None:
            return None
        return True if named[0] == one[0] else None if "%" in answer else False
    if one[0] == other[0]:
        return True
    rounded = not (one[1] and other[1]) and abs(one[0] - other[0]) < ROUNDING
    return None if rounded else False  # decimals may be rounded: math-verify compares six places


@lru_cache(maxsize=4096)
def parsed(text: str) -> list:
    """What math-verify reads in a text, boxed or bare; empty where it reads nothing."""
    from math_verify import parse

    text = _PI.sub(r"\\pi ", text)
    boxed = text if "\\boxed" in text else f"\\boxed{{{text.strip().strip('$')}}}"
    return parse(boxed, parsing_timeout=None, raise_on_error=True)


def equal(gold: str, answer: str) -> bool | None:
    """Whether math-verify finds the answer equal to the gold; None where it reads nothing in the answer.

    Raises:
        ValueError: it reads nothing in the gold.
    """
    from math_verify import verify

    if (known := quick_equal(gold, answer)) is not None:
        return known
    wanted = parsed(gold)
    if not wanted:
        raise ValueError(f"gold {gold[:60]!r} cannot be read as mathematics")
    try:
        given = parsed(answer)
    except MemoryError:
        raise
    except Exception:  # whatever a parser of LaTeX makes of what a model wrote
        given = []
    if not given:
        return None
    return bool(verify(wanted, given, timeout_seconds=None, raise_on_error=True))


def warm_up() -> None:
    """Build math-verify's grammars: the first call takes seconds, which no answer should be charged for."""
    equal("\\sqrt{2}", "2^{1/2}")
