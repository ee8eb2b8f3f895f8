"""The value of written numbers such as `1,234.50`, `-\\frac34`, `1 1/2`, `1.35 \\times 10^{3}`; of nothing else.

The text is in normal form (see `normal`). Only a fraction, a mixed number or a power of ten is evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

MAX_POWER = 5000
"""Largest power of ten that is read."""
_GROUPED = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
_DECIMAL = rf"(?:{_GROUPED}|[0-9]+)(?:\.[0-9]+|\.(?![0-9.]))?|\.[0-9]+"
_CONTINENTAL = r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+,[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}"
NUMBER = rf"(?:{_CONTINENTAL}|{_DECIMAL})"
"""One number without sign: grouped in threes or as in India, or `1.234,56`."""
_SIGN = r"(?P<sign>[-+]?)\s*"
_SIMPLE = re.compile(rf"{_SIGN}(?P<number>{NUMBER})(?:[eE](?P<e>[-+]?[0-9]{{1,4}}))?")
_POWER = re.compile(
    rf"{_SIGN}(?:(?P<number>{NUMBER})\s*(?:\\times|\\cdot|\*|[xX])\s*)?10\s*\^\s*"
    r"(?:\{\s*(?P<braced>[-+]?\s*[0-9]{1,4})\s*\}|\((?P<round>[-+]?[0-9]{1,4})\)|(?P<bare>[-+]?[0-9]{1,4}))"
)
_INNER = rf"\(?(?P<%s>[-+]?\s*{NUMBER})\)?"
_ABOVE, _BELOW = _INNER % "above", _INNER % "below"
_RATIO = re.compile(
    rf"{_SIGN}(?:\\frac\s*(?:\{{\s*{_ABOVE}\s*\}}|(?P<above1>[0-9]))\s*(?:\{{\s*{_BELOW}\s*\}}|(?P<below1>[0-9]))"
    rf"|(?P<above2>{NUMBER}|\([-+]?{NUMBER}\))\s*(?:/|\\div)\s*(?P<below2>{NUMBER}|\([-+]?{NUMBER}\)))"
)
_MIXED = re.compile(
    rf"{_SIGN}(?P<whole>[0-9]{{1,9}})\s*(?:(?:\s|-|(?<=[0-9])\s*\+)?\s*\\frac\s*(?:\{{\s*([0-9]+)\s*\}}|([0-9]))\s*"
    r"(?:\{\s*([0-9]+)\s*\}|([0-9]))|(?<=[0-9])\s+([0-9]+)\s*/\s*([0-9]+))"
)
_REPEATING = re.compile(
    rf"{_SIGN}(?P<whole>[0-9]{{1,50}})\.(?P<head>[0-9]{{0,50}})(?:\\overline\s*\{{(?P<tail>[0-9]{{1,50}})\}}|\((?P<tail2>[0-9]{{1,50}})\)"
    r"|\\dot\s*\{?(?P<tail3>[0-9])\}?)"
)


@dataclass(frozen=True, slots=True)
class Literal:
    """A written number."""

    value: Fraction
    places: int | None = None
    """Digits after the decimal point; None: an integer or a fraction, which is exact."""

    @property
    def significant(self) -> int:
        """Digits from the first that is not 0."""
        if self.places is None:
            return 0
        return len(str(abs(self.value.numerator) * 10**self.places // self.value.denominator)) if self.value else 1


def decimal_value(text: str) -> tuple[Fraction, int | None]:
    """Value and decimal places of a text that matches NUMBER."""
    if re.fullmatch(_CONTINENTAL, text):
        text = text.replace(".", "").replace(",", ".")
    text = text.replace(",", "").replace(" ", "")
    whole, point, rest = text.partition(".")
    value = Fraction(int(whole + rest or "0"), 10 ** len(rest))
    return value, len(rest) if point and rest else None


def _signed(text: str) -> Fraction:
    text = text.strip("() ").replace(" ", "")
    value, _ = decimal_value(text.lstrip("+-"))
    return -value if text.startswith("-") else value


@lru_cache(maxsize=8192)
def read_literal(text: str) -> Literal | None:
    """The number if the whole text is one, else None."""
    text = text.strip()
    if not text or not any(c.isdigit() for c in text):
        return None
    for read in (_simple, _power, _mixed, _ratio, _repeating):
        if (found := read(text)) is not None:
            return found
    return None


def _simple(text: str) -> Literal | None:
    match = _SIMPLE.fullmatch(text)
    if match is None:
        return None
    value, places = decimal_value(match["number"])
    if match["e"]:
        power = int(match["e"])
        if abs(power) > MAX_POWER:
            return None
        value, places = value * Fraction(10) ** power, max(0, (places or 0) - power)
        places = places or None
    return Literal(-value if match["sign"] == "-" else value, places)


def _power(text: str) -> Literal | None:
    match = _POWER.fullmatch(text)
    if match is None:
        return None
    power = int((match["braced"] or match["round"] or match["bare"]).replace(" ", ""))
    if abs(power) > MAX_POWER:
        return None
    value, places = decimal_value(match["number"] or "1")
    value *= Fraction(10) ** power
    places = max(0, (places or 0) - power) or None
    return Literal(-value if match["sign"] == "-" else value, places)


def _ratio(text: str) -> Literal | None:
    match = _RATIO.fullmatch(text)
    if match is None:
        return None
    above = _signed(match["above"] or match["above1"] or match["above2"])
    below = _signed(match["below"] or match["below1"] or match["below2"])
    if below == 0:
        return None
    return Literal(-above / below if match["sign"] == "-" else above / below)


def _mixed(text: str) -> Literal | None:
    match = _MIXED.fullmatch(text)
    if match is None:
        return None
    above, below = (int(match[a] or match[b]) for a, b in ((3, 4), (5, 6))) if match[7] is None else (
        int(match[7]), int(match[8]))  # fmt: skip
    if below == 0 or above >= below:  # "4 10/3" is not a mixed number
        return None
    value = int(match["whole"]) + Fraction(above, below)
    return Literal(-value if match["sign"] == "-" else value)


def _repeating(text: str) -> Literal | None:
    match = _REPEATING.fullmatch(text)
    if match is None:
        return None
    head, tail = match["head"], match["tail"] or match["tail2"] or match["tail3"]
    value = Fraction(int(match["whole"] + head), 10 ** len(head))
    value += Fraction(int(tail), 10 ** len(head) * (10 ** len(tail) - 1))
    return Literal(-value if match["sign"] == "-" else value)


def literal_prefix(text: str) -> tuple[Literal, str] | None:
    """The longest number at the beginning of a text, and the text after it."""
    best = 0
    for pattern in (_SIMPLE, _POWER, _MIXED, _RATIO, _REPEATING):
        if match := pattern.match(text):
            best = max(best, match.end())
    if best == 0:
        return None
    rest = text[best:]
    if rest[:1].isdigit() or re.match(r"[.,][0-9]", rest):
        return None
    literal = read_literal(text[:best])
    return None if literal is None else (literal, rest)
