"""A number with the text after it: percent, words that change the value, a unit, or a label from the question."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from corea.tasks.grading.reading.asked import Asked, is_label
from corea.tasks.grading.reading.literals import literal_prefix
from corea.tasks.grading.reading.normal import folded
from corea.tasks.grading.reading.shapes import Number
from corea.tasks.grading.reading.spoken import PERCENT, factor, read_spoken
from corea.tasks.grading.reading.units import CURRENCY, read_unit

WORDS = re.compile(r"[^\W\d_]+(?:[ '\-.]+[^\W\d_]+)*")
"""Matches text that consists of words only."""
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?![A-Za-z])|\^\s*\{?\s*(?:st|nd|rd|th)\s*\}?")
_HALF = re.compile(r"\s+and\s+(?:a|one)\s+half\b")
_WORDY = re.compile(r"[^\W\d_][^\W\d_.]*")


def read_number_form(text: str, asked: Asked, gold: bool) -> tuple[Number | None, str]:
    """(number, "") or (None, the problem with the words after the number)."""
    bare, money = text, None
    if match := CURRENCY.match(text):
        bare, money = text[match.end() :], read_unit(match[0].strip(" ."))
    elif text[:1] in "-+" and (match := CURRENCY.match(text[1:].lstrip())):
        bare, money = text[0] + text[1:].lstrip()[match.end() :], read_unit(match[0].strip(" ."))
    while bare.startswith("(") and bare.endswith(")") and "," not in bare and bare.count("(") == 1:
        bare = bare[1:-1].strip()
    if bare[:6].casefold() in ("minus ", "negati"):
        head, _, rest = bare.partition(" ")
        if head.casefold() in ("minus", "negative") and rest[:1].isdigit():
            bare = "-" + rest
    found = literal_prefix(bare)
    if found is None:
        spoken = read_spoken(bare) if bare[:1].isalpha() else None
        if spoken is not None:
            return Number(spoken), ""
        return _spoken_percent(bare), ""
    literal, rest = found
    number = Number(literal.value, literal.places, literal.significant, unit=money)
    return _behind(number, rest, asked, gold) if rest.strip() else (number, "")


def _spoken_percent(text: str) -> Number | None:
    match = PERCENT.search(text)
    if match is None or match.end() != len(text):
        return None
    value = read_spoken(text[: match.start()].strip())
    return None if value is None else Number(value, percent=True)


def _behind(number: Number, rest: str, asked: Asked, gold: bool) -> tuple[Number | None, str]:
    """The number with the text after it."""
    if (match := PERCENT.match(rest.strip())) and match.end() == len(rest.strip()):
        return replace(number, percent=True), ""
    spaced = rest[:1].isspace()
    if match := _ORDINAL.match(rest.lstrip()):
        rest, spaced = rest.lstrip()[match.end() :], True
    if match := _HALF.match(rest):
        if number.places is not None or number.value.denominator != 1:
            return None, ""
        number, rest = replace(number, value=number.value + Fraction(1, 2)), rest[match.end() :]
    while word := _WORDY.match(rest.lstrip()):
        scale = (
            factor(word[0]) if spaced or word[0] in ("k", "K") or len(word[0]) > 2 or ord(word[0][0]) > 127 else None
        )
        if scale is None or (is_label(word[0], asked) and not PERCENT.match(word[0])):
            break
        number = replace(number, value=number.value * scale, places=None, significant=0)
        rest, spaced = rest.lstrip()[word.end() :], True
    if not rest.strip():
        return number, ""
    glued = (
        gold
        and not spaced
        and len(rest.strip()) == 2
        and rest.strip() not in ("cm", "mm", "km", "kg", "mg", "ml", "mL")
    )
    if not glued and (unit := read_unit(rest, spaced)) is not None:
        return replace(number, unit=unit), ""
    if is_label(rest, asked):
        return replace(number, label=folded(rest)), ""
    if gold and WORDS.fullmatch(rest.strip()) and any(len(w) > 2 for w in rest.split()) and spaced and not _joins(rest):
        return replace(number, label=folded(rest)), ""
    shown = " ".join(rest.split())[:40]
    return None, f"{shown!r} after the number is not a unit" if re.search(r"[^\W\d_]{2}", shown) else ""


def _joins(words: str) -> bool:
    return not {"and", "or", "times", "over", "mod", "choose", "to"}.isdisjoint(words.casefold().split())
