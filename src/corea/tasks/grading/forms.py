"""What an answer is: a number, an expression, words, a list, an interval, a relation. Decided from its text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from corea.tasks.grading.asked import Asked, is_label
from corea.tasks.grading.expressions import Tree, Unevaluated, Unread, read_expression
from corea.tasks.grading.literals import literal_prefix
from corea.tasks.grading.normal import folded, squeezed
from corea.tasks.grading.splitting import (
    bracketed,
    joined_by_and,
    matrix_rows,
    split_list,
    split_relation,
    split_union,
    variants,
)
from corea.tasks.grading.spoken import PERCENT, factor, read_spoken
from corea.tasks.grading.units import CURRENCY, Unit, read_unit


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is written out, with its unit."""

    value: Fraction
    places: int | None = None
    significant: int = 0
    percent: bool = False
    unit: Unit | None = None
    label: str = ""
    """Words behind a gold number, or those that the question counts."""


@dataclass(frozen=True, slots=True)
class Expression:
    """Anything that has a value."""

    tree: Tree
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """A name or a phrase, folded."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """What is only compared as text: a ratio, a time, a list with an ellipsis."""

    text: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a stated base."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Several:
    """A list or set (in any order), or a tuple."""

    kind: str
    items: tuple
    brackets: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of forms."""

    rows: tuple[tuple, ...]
    determinant: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides joined by one or more signs; the sides are texts in normal form."""

    signs: tuple[str, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Sets joined by ∪, or one without the other."""

    items: tuple
    sign: str = "\\cup"


Form = Number | Expression | Words | Text | Based | Several | Matrix | Relation | Union
_ELLIPSIS = re.compile(r"\\ldots|\.\.")
_BASED = re.compile(r"\(?([0-9A-Za-z]+)\)?\s*_\s*(?:\{\s*(\w+)\s*\}|([0-9]+|[A-Za-z]{3,}))")
_RATIO = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:\s*:\s*[0-9]+(?:\.[0-9]+)?)+(?:\s*[apAP]\.?\s?[mM]\.?)?")
_WORDS = re.compile(r"[^\W\d_]+(?:[ '\-.]+[^\W\d_]+)*")
_MATHEMATICAL = re.compile(r"^(?:pi|infinity|infty|inf|sqrt|sin|cos|tan|log|ln|exp|abs|e|i)(?![a-z]{2})")
_ORDINAL = re.compile(r"(?:st|nd|rd|th)(?![A-Za-z])|\^\s*\{?\s*(?:st|nd|rd|th)\s*\}?")
_HALF = re.compile(r"\s+and\s+(?:a|one)\s+half\b")
_WORDY = re.compile(r"[^\W\d_][^\W\d_.]*")


@lru_cache(maxsize=8192)
def read_form(text: str, asked: Asked = Asked(), gold: bool = False) -> Form:  # noqa: B008
    """The form of an answer or gold in normal form.

    Raises:
        Unread: it has none that is known; the message says what stands in the way.
        Unevaluated: it holds a sum, product, integral, limit or derivative.
    """
    if not text:
        raise Unread("nothing")
    if "\ufffd" in text:
        raise Unread("characters that are none")
    if _ELLIPSIS.search(text):
        return Text(squeezed(re.sub(r"\\ldots\s?|\.{2,}", "...", text)))
    number, problem = read_number_form(text, asked, gold)
    if number is not None:
        return number
    if match := _BASED.fullmatch(text):
        base = (
            read_spoken(match[2] or match[3])
            if not (match[2] or match[3]).isdigit()
            else Fraction(match[2] or match[3])
        )
        if base is not None and 2 <= base <= 36 and any(c.isdigit() for c in match[1]):
            return Based(match[1].lstrip("0").upper() or "0", int(base))
    if _RATIO.fullmatch(text):
        return Text(re.sub(r"\s", "", text).casefold().replace(".m", "m").rstrip("."))
    if re.fullmatch(r"\\mathbb\s*(?:\{[A-Z]\}|[A-Z])(?:\s*\^[{}+\-*0-9n]+)?", text):
        return Text(re.sub(r"\\mathbb ?([A-Z])", r"\\mathbb{\1}", squeezed(text)))
    words = _words(text)
    if words is not None and len(split_list(text)) == 1:
        return words
    try:
        return _structure(text, asked, gold)
    except Unevaluated:
        raise
    except Unread as error:
        raise Unread(problem or str(error)) from error


def _structure(text: str, asked: Asked, gold: bool) -> Form:
    spread = variants(text)
    if len(spread) > 1:
        return _several("list", [read_form(t, asked, gold) for t in spread])
    parts = split_list(text)
    if len(parts) > 1:
        joiner = "and" if joined_by_and(text) else ""
        return _several("list", [read_form(p, asked, gold) for p in parts], joiner)
    relation = split_relation(text)
    if relation is not None:
        if relation.signs == ("=",) and not relation.sides[0]:
            return read_form(relation.sides[1], asked, gold)
        return Relation(relation.signs, relation.sides)
    union = split_union(text)
    if union is not None:
        return Union(tuple(read_form(p, asked, gold) for p in union[1]), union[0])
    rows = matrix_rows(text)
    if rows is not None:
        entries = tuple(tuple(read_form(cell, Asked(), gold) for cell in row) for row in rows.cells)
        return Matrix(entries, rows.determinant)
    inside = bracketed(text)
    if inside is not None:
        items = [read_form(p, Asked(), gold) for p in inside.items]
        if inside.kind == "tuple" and len(items) == 1 and inside.brackets == "()":
            return items[0]
        return _several(inside.kind, items, inside.brackets)
    return _expression(text, gold)


def _several(kind: str, items: list[Form], brackets: str = "") -> Form:
    flat: list[Form] = []
    for item in items:  # "1 \\pm \\sqrt 2, 3" holds a list in a list
        flat.extend(item.items if kind == "list" and isinstance(item, Several) and item.kind == "list" else [item])
    return Several(kind, tuple(flat), brackets)


def _words(text: str) -> Words | None:
    """Words that are no mathematics."""
    plain = text.strip("()") if text.startswith("(") and text.endswith(")") else text
    if _WORDS.fullmatch(plain) is None or _MATHEMATICAL.match(plain):
        return None
    if not any(len(w) > 1 for w in re.split(r"[ '\-.]+", plain)):
        return None
    return Words(folded(plain))


def _expression(text: str, gold: bool) -> Form:
    """An expression, with the unit behind it where there is one."""
    for match in re.finditer(r"(?<=[0-9)}\] a-z])\s*(?<![A-Za-z\\])(?=[^\W\d_])", text):
        head, tail = text[: match.start()].rstrip(), text[match.end() :]
        if not head or re.fullmatch(r"[^\W\d_]", tail) or not tail:
            continue
        unit = read_unit(tail)
        if unit is not None and re.match(r"[^\W\d_]{2}", tail):
            return Expression(read_expression(head), unit)
    return Expression(read_expression(text))


def read_number_form(text: str, asked: Asked, gold: bool) -> tuple[Number | None, str]:
    """(number, "") or (None, what is wrong with the words behind the number)."""
    bare = text
    if match := CURRENCY.match(text):
        bare = text[match.end() :]
    elif text[:1] in "-+" and (match := CURRENCY.match(text[1:].lstrip())):
        bare = text[0] + text[1:].lstrip()[match.end() :]
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
    number = Number(literal.value, literal.places, literal.significant)
    return _behind(number, rest, asked, gold) if rest.strip() else (number, "")


def _spoken_percent(text: str) -> Number | None:
    match = PERCENT.search(text)
    if match is None or match.end() != len(text):
        return None
    value = read_spoken(text[: match.start()].strip())
    return None if value is None else Number(value, percent=True)


def _behind(number: Number, rest: str, asked: Asked, gold: bool) -> tuple[Number | None, str]:
    """The number with what stands behind it."""
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
    if (
        gold
        and _WORDS.fullmatch(rest.strip())
        and any(len(w) > 2 for w in rest.split())
        and spaced
        and not _joins(rest)
    ):
        return replace(number, label=folded(rest)), ""
    shown = " ".join(rest.split())[:40]
    return None, f"behind the number stands {shown!r}, which is no unit" if re.search(r"[^\W\d_]{2}", shown) else ""


def _joins(words: str) -> bool:
    return not {"and", "or", "times", "over", "mod", "choose", "to"}.isdisjoint(words.casefold().split())
