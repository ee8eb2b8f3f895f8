"""The last number of a text, as its whole value: `\\frac34`, `2^3` and `5 million` are more than their last digits.

Prose around it is allowed. No number is read if the text retracts it ("5 is wrong", "not 5"), gives several guesses ("5
or 6"), or makes it part of something else (`x_2`, `3x`, `17 * 23`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from corea.tasks.grading.reading.asked import NOTHING_ASKED, Asked, asked, is_label
from corea.tasks.grading.reading.literals import literal_prefix
from corea.tasks.grading.reading.normal import normal
from corea.tasks.grading.reading.prose import NEGATION, boxes
from corea.tasks.grading.reading.spoken import PARTS, PERCENT, SCALES, factor, is_number_word, read_spoken
from corea.tasks.grading.reading.units import Unit, read_unit, same_kind
from corea.tasks.grading.rulings import CORRECT, unparsed, unreadable_gold, wrong
from corea.types import Question, Verdict

_CALCULATION = re.compile(r"<<[^<>]*>>")
"""GSM8K's calculator annotations."""
_START = re.compile(r"\\frac|[0-9]|\.[0-9]")
_POWER = re.compile(r"\s*\^\s*(?:\{\s*(-?[0-9]{1,3})\s*\}|\((-?[0-9]{1,3})\)|(-?[0-9]{1,3})(?![0-9.]))")
_ATTACHED = re.compile(r"(?:[A-Za-z]|[_^]\s*\{?|\\)$")
_CURRENCY = re.compile(r"\b(?:USD|EUR|GBP|JPY|INR|CNY|CHF|Rs\.?)$")
_FUNCTION = re.compile(
    r"(?:\b|\\)(?:log|ln|sin|cos|tan|exp|sqrt|gcd|lcm|max|min|mod|bmod)\s*(?:_\s*\S+\s*)?[({\[]*\s*$"
)
_OPERATOR = re.compile(
    r"(?:(?:[0-9A-Za-z)}\]%]|\\pi)\s*(?:[-+*/]|\\times|\\cdot|\\div)|[0-9)}\]]\s*[x×]|[0-9]:(?!\s)|[0-9]\s+:|"
    r"[0-9)}\]%]\s*(?:times|plus|minus|over|divided by|multiplied by|mod|modulo|to the power of))\s*$",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"^[\s\"')\]]*(?:,\s*)?(?:which\s+|that\s+)?(?:is|are|was|would be|seems|looks)?\s*(?:n't|"
    r"not\b(?!\s+(?:sure|certain))|"
    r"wrong|incorrect|false|unlikely|might\b|may\b|could\b)",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"(?:\bnot|n't|n't be|\bnever|\bno|\\neg?(?![a-z])|!=|\bisn't|\bcannot be|\bnot be|\bnicht|"
    r"\bother than|\banything but|\bunlike|\brather than)"
    r"\s*(?:equal to\s*)?[\s$(\"']*$",
    re.IGNORECASE,
)
_BOUND_BEFORE = re.compile(
    r"(?:[<>~]|\\le|\\ge|\\approx|\\sim|\b(?:at least|at most|more than|less than|fewer than|over|under|about|around|"
    r"approximately|roughly|nearly|almost|maybe|perhaps|probably|possibly|between|"
    r"between\s+\S+\s+(?:and|to)|up to|ca\.?))\s*[$(]*$",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(
    r"^\s*[,(]?\s*(?:\?|\+|not (?:sure|certain)|or (?:more|less|so|fewer|even)|at (?:least|most)|"
    r"ish\b|-ish|maybe|perhaps|probably|i guess|unless|negative)",
    re.IGNORECASE,
)
_GUESSES = re.compile(
    r"[0-9%]\s*(?:[A-Za-z]+\s+)?\(?\s*(?:\bor\b|\\pm|\+/-|\boder\b|\bou\b|\|)\s*[-+$(]*\s*$", re.IGNORECASE
)
_ONLY_NUMBERS = re.compile(r"[-+$()\[\]{}0-9.,/;|&\s]+")
_BETWEEN = re.compile(r"\b(?:and|to)\b")
_FEW = 3
"""An answer with fewer other words than this is not prose; a bound or a hedge in it then counts."""
_MIXED_IN_WORDS = re.compile(r"(?<![0-9.,/])([0-9]+) and ([0-9]+/[0-9]+)(?![0-9.,/])")
"""2 and 1/2"""
_DEGREES = re.compile(r"\s*\^\{\\circ\}\s*")
_NUMBER_WORDS = re.compile(r"[A-Za-z]+(?:[ -]+[A-Za-z]+)*")


@dataclass(frozen=True, slots=True)
class Reading:
    """The number of a text, or the reason why there is none."""

    value: Fraction | None = None
    percent: bool = False
    unit: Unit | None = None
    why: str = ""


def read_number(text: str) -> Fraction | None:
    """The last number in a text as a fraction: "$1,234.50" is 2469/2, "3/4 of them" is 3/4, "1 1/2" 3/2; else None."""
    return read_numeric(text).value


@lru_cache(maxsize=8192)
def read_numeric(text: str, question: Asked = NOTHING_ASKED) -> Reading:
    """Read the last number of a text."""
    found = [b[0] for b in boxes(text) if b[0]]
    if len(set(found)) > 1:
        return Reading(why=f"{len(found)} boxes with different contents")
    if found and not NEGATION.search(text):
        text = found[-1]
    text = _CALCULATION.sub("", text)
    if "####" in text:
        text = text.rpartition("####")[2]
    lines = [line for part in text.split("\n") if (line := normal(part))]
    for line in reversed(lines):
        if any(c.isdigit() for c in line):
            return _in_line(line, question)
    for line in reversed(lines):
        if (spoken := _spoken(line)) is not None:
            return spoken
    return Reading(why="contains no number")


def _in_line(line: str, question: Asked) -> Reading:
    line = _MIXED_IN_WORDS.sub(r"\1 \2", line)
    if _ONLY_NUMBERS.fullmatch(_BETWEEN.sub("&", line)):
        whole = literal_prefix(line.lstrip("-+([{ "))
        if whole is None or whole[1].strip(" )]}."):
            return Reading(why="several numbers")
    last: tuple[int, int, Fraction | None] | None = None
    place = 0
    while match := _START.search(line, place):
        start = match.start()
        found = literal_prefix(line[start:])
        if found is None:
            digits = re.match(r"\\frac|[0-9.,]+", line[start:])
            place = start + (digits.end() if digits else 1)
            last = None if match[0] == "\\frac" else (start, place, None)
            continue
        place = len(line) - len(found[1])
        last = (start, place, found[0].value)
        if match := _POWER.match(line, place):
            last, place = _powered(start, found[0].value, match), match.end()
    if last is None or last[2] is None:
        return Reading(why="the last number cannot be read")
    (start, end, _), value = last, last[2]
    before, behind = (
        line[:start],
        _DEGREES.sub(" ", line[end:], count=1) if "circ" in line[end : end + 9] else line[end:],
    )
    before, value = _sign(before, value)
    if why := _context(before, behind):
        return Reading(why=why)
    return _behind(value, before, behind, question)


def _powered(start: int, value: Fraction, match: re.Match[str]) -> tuple[int, int, Fraction | None]:
    """A number with its exponent: where it starts and ends, and its value, None if that is too large."""
    exponent = int(match[1] or match[2] or match[3])
    small = max(value.numerator.bit_length(), value.denominator.bit_length()) * abs(exponent) <= 5000
    return start, match.end(), value**exponent if small and (value or exponent > 0) else None


def _sign(before: str, value: Fraction) -> tuple[str, Fraction]:
    """The sign before a number; a dash after a word or a number is not a sign."""
    stripped = before.rstrip(" $")
    if (word := re.search(r"(?<![^\s(=:,])(?:minus|negative)$", stripped, re.IGNORECASE)) and not re.search(
        r"[0-9]\s*$", stripped[: word.start()]
    ):
        return stripped[: word.start()], -value
    if not stripped.endswith(("-", "+")):
        return before, value
    head, sign = stripped[:-1], stripped[-1]
    touching = before.endswith(sign) or before.rstrip("$").endswith(sign)
    operand = re.search(r"[0-9A-Za-z)}\]%]$", head.rstrip())
    free = operand is None or (touching and head[-1:].isspace() and operand[0].isalpha())
    if not free:
        return before, value
    return head, -value if sign == "-" else value


def _context(before: str, behind: str) -> str:
    """The reason not to read a number in its context; empty if there is none."""
    if before.count("{") > before.count("}") or before.count("\\{") > before.count("\\}"):
        return "the last number is part of an expression"
    if _ATTACHED.search(before) and not _CURRENCY.search(before):
        return "the last number is part of a name or an exponent"
    if _FUNCTION.search(before):
        return "the last number is part of an expression"
    if _OPERATOR.search(before):
        return "arithmetic that is not evaluated"
    if _TAKEN_BACK.search(before) or _REJECTED.search(behind):
        return "the words around the number negate it"
    if _GUESSES.search(before):
        return "several guesses"
    words = len(re.findall(r"[^\W\d_]{2,}", before + " " + behind))
    if re.match(r"\s*(?:!(?!=)|\\(?:pi|sqrt|cdot|times|infty|frac|sin|cos|theta|alpha)|/|\*|\^|_)", behind) and not (
        behind.lstrip().startswith("!") and words >= _FEW
    ):
        return "the last number is part of an expression"
    if words <= _FEW and (_BOUND_BEFORE.search(before) or _BOUND_BEHIND.search(behind)):
        return "a bound or a guess, not a number"
    return ""


def _behind(value: Fraction, before: str, behind: str, question: Asked) -> Reading:
    """The value with the text after it: percent, words that scale it, or a unit."""
    if PERCENT.match(behind.lstrip()):
        return Reading(value, percent=True)
    spaced = behind[:1].isspace()
    if match := re.match(r"\s+and\s+(?:a|one)\s+half\b", behind):
        value, behind = value + Fraction(1, 2), behind[match.end() :]
    changed = False
    while word := re.match(r"\s*([^\W\d_]+)", behind):
        scale = _scale(word[1], value, spaced, alone=not before.strip() and not behind[word.end() :].strip())
        if scale is None or is_label(word[1], question):
            break
        value, behind, spaced, changed = value * scale, behind[word.end() :], True, True
    match = re.match(r"[A-Za-z]+", behind)
    if match and not changed:
        unit = read_unit(match[0]) if match[0] not in ("st", "nd", "rd", "th") else None
        if unit is None and match[0] not in ("st", "nd", "rd", "th") and not is_label(match[0], question):
            return Reading(why=f"{match[0][:20]!r} after the number is not a unit")
        return Reading(value, unit=unit)
    rest = behind.strip(" .")
    return Reading(value, unit=read_unit(rest) if len(rest) < 40 else None)


def _scale(word: str, value: Fraction, spaced: bool, alone: bool) -> Fraction | None:
    """Factor by which a word multiplies the number before it; None if it does not."""
    folded = word.casefold()
    if folded.removesuffix("s") in ("score", "gross", "mil", "myriad") and not alone:
        return None
    if not spaced and len(word) == 1 and word.isascii():
        return Fraction(1000) if word in "kK" else None
    if folded in ("k", "ppm", "bps"):
        return None
    part = folded in PARTS or folded.removesuffix("s") in PARTS
    if part and not folded.endswith("s") and abs(value) != 1:
        return None
    return factor(word) if part or folded in SCALES or folded.removesuffix("s") in SCALES else None


def _spoken(line: str) -> Reading | None:
    """The last number written in words."""
    best = None
    for run in _NUMBER_WORDS.finditer(line):
        words = list(re.finditer(r"[A-Za-z]+", run[0]))
        start = 0
        while start < len(words):
            if not (
                is_number_word(words[start][0].casefold()) or words[start][0].casefold() in ("minus", "negative", "a")
            ):
                start += 1
                continue
            for end in range(min(len(words), start + 16), start, -1):
                span = (run.start() + words[start].start(), run.start() + words[end - 1].end())
                value = read_spoken(line[span[0] : span[1]])
                if value is not None:
                    best, start = (value, span), end
                    break
            else:
                start += 1
    if best is None:
        return None
    value, (start, end) = best
    before, behind = line[:start], line[end:]
    former = re.search(r"([A-Za-z]+)\s+(?:or|oder)\s*$", before)
    if former and is_number_word(former[1].casefold()):
        return Reading(why="several guesses")
    if re.search(r"\b(?:times|plus|minus|over|divided by)\s*$", before) or re.match(
        r"\s*(?:times|plus|minus|over)\b", behind
    ):
        return Reading(why="arithmetic that is not evaluated")
    why = _context(before, behind)
    return Reading(why=why) if why else Reading(value, percent=PERCENT.match(behind.lstrip()) is not None)


def numeric(question: Question, answer: str) -> Verdict:
    """The same number; the gold may be a whole GSM8K solution that ends in `#### 18`."""
    gold = read_numeric(question.gold.rpartition("####")[2])
    if gold.value is None:
        return unreadable_gold(question.gold, gold.why)
    given = read_numeric(answer, asked(question.text))
    if given.value is None:
        return unparsed(given.why)
    if gold.unit is not None and given.unit is not None and not same_kind(gold.unit, given.unit):
        return wrong(f"the unit {given.unit.text[:30]!r} where {gold.unit.text[:30]!r} is required")
    wanted = {gold.value, gold.value / 100} if gold.percent else {gold.value}
    offered = {given.value, given.value / 100} if given.percent else {given.value}
    if gold.percent and given.percent:
        wanted, offered = {gold.value}, {given.value}
    if wanted & offered:
        return CORRECT
    return wrong(f"reads {_shown(given.value)}{'%' if given.percent else ''}, the gold is {_shown(gold.value)}")


def _shown(value: Fraction) -> str:
    text = (
        str(value)
        if value.denominator == 1 or max(value.denominator, abs(value.numerator)) < 10**4
        else f"{float(value):.12g}"
    )
    return text if len(text) <= 40 else text[:37] + "..."
