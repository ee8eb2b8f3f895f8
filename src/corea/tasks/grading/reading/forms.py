"""What an answer is: a number, an expression, words, a list, an interval, a relation. Depends only on its text."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from corea.tasks.grading.reading.asked import NOTHING_ASKED, Asked
from corea.tasks.grading.reading.expressions import read_expression
from corea.tasks.grading.reading.normal import folded, squeezed
from corea.tasks.grading.reading.quantities import WORDS, read_number_form
from corea.tasks.grading.reading.shapes import Based, Expression, Form, Matrix, Relation, Several, Text, Union, Words
from corea.tasks.grading.reading.splitting import (
    bracketed,
    joined_by_and,
    matrix_rows,
    split_list,
    split_relation,
    split_union,
    variants,
)
from corea.tasks.grading.reading.spoken import read_spoken
from corea.tasks.grading.reading.tokens import Unevaluated, Unread
from corea.tasks.grading.reading.units import read_unit

_ELLIPSIS = re.compile(r"\\ldots|\.\.")
_BASED = re.compile(r"\(?([0-9A-Za-z]+)\)?\s*_\s*(?:\{\s*(\w+)\s*\}|([0-9]+|[A-Za-z]{3,}))")
_RATIO = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:\s*:\s*[0-9]+(?:\.[0-9]+)?)+(?:\s*[apAP]\.?\s?[mM]\.?)?")
_MATHEMATICAL = re.compile(r"^(?:pi|infinity|infty|inf|sqrt|sin|cos|tan|log|ln|exp|abs|e|i)(?![a-z]{2})")


@lru_cache(maxsize=8192)
def read_form(text: str, asked: Asked = NOTHING_ASKED, gold: bool = False) -> Form:
    """The form of an answer or gold that is in normal form.

    Raises:
        Unread: it has no known form; the message says why.
        Unevaluated: it contains a sum, product, integral, limit or derivative.
    """
    if not text:
        raise Unread("nothing")
    if "\ufffd" in text:
        raise Unread("invalid characters")
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
        entries = tuple(tuple(read_form(cell, NOTHING_ASKED, gold) for cell in row) for row in rows.cells)
        return Matrix(entries, rows.determinant)
    inside = bracketed(text)
    if inside is not None:
        items = [read_form(p, NOTHING_ASKED, gold) for p in inside.items]
        if inside.kind == "tuple" and len(items) == 1 and inside.brackets == "()":
            return items[0]
        return _several(inside.kind, items, inside.brackets)
    return _expression(text, gold)


def _several(kind: str, items: list[Form], brackets: str = "") -> Form:
    flat: list[Form] = []
    for item in items:  # "1 \\pm \\sqrt 2, 3" has a list in a list
        flat.extend(item.items if kind == "list" and isinstance(item, Several) and item.kind == "list" else [item])
    return Several(kind, tuple(flat), brackets)


def _words(text: str) -> Words | None:
    """The words, or None if the text is mathematics."""
    plain = text.strip("()") if text.startswith("(") and text.endswith(")") else text.rstrip("!")
    if WORDS.fullmatch(plain) is None or _MATHEMATICAL.match(plain):
        return None
    if not any(len(w) > 1 for w in re.split(r"[ '\-.]+", plain)):
        return None
    return Words(folded(plain))


def _expression(text: str, gold: bool) -> Form:
    """An expression, with the unit after it if there is one."""
    for match in re.finditer(r"(?<=[0-9)}\] a-z])\s*(?<![A-Za-z\\])(?=[^\W\d_])", text):
        head, tail = text[: match.start()].rstrip(), text[match.end() :]
        if not head or re.fullmatch(r"[^\W\d_]", tail) or not tail:
            continue
        unit = read_unit(tail)
        if unit is not None and re.match(r"[^\W\d_]{2}", tail):
            return Expression(read_expression(head), unit)
    return Expression(read_expression(text))
