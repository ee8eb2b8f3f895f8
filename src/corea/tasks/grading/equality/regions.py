"""Sets of real numbers: intervals, their unions, and the inequalities that describe them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from corea.tasks.grading.equality.values import constant, equal_expressions, is_infinite
from corea.tasks.grading.reading.forms import read_form
from corea.tasks.grading.reading.shapes import Expression, Form, Number, Relation, Several, Text, Union
from corea.tasks.grading.reading.tokens import GREEK, Unread
from corea.tasks.grading.reading.trees import Tree, symbols

REALS = Text("\\mathbb{R}")
INFINITY, MINUS_INFINITY = ("const", "inf"), ("neg", ("const", "inf"))
_FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers between two ends."""

    low: Tree
    high: Tree
    low_closed: bool
    high_closed: bool


def tree_of(form: Form) -> Tree | None:
    """The expression tree of a number or expression."""
    if isinstance(form, Number):
        value = form.value / 100 if form.percent else form.value
        return ("num", value) if form.places is None else ("num", value, form.places)
    return form.tree if isinstance(form, Expression) else None


def _place(tree: Tree) -> float:
    sign = is_infinite(tree)
    return sign * float("inf") if sign else float(constant(tree))


def region(form: Form) -> tuple[list[Interval], str | None] | None:
    """(disjoint intervals in order, name of the variable, if given), or None if the form is not such a set.

    Raises:
        ArithmeticError: an end has no value that can be computed.
    """
    found = _region(form)
    if found is None:
        return None
    intervals, variable = found
    return _merged(intervals), variable


def _region(form: Form) -> tuple[list[Interval], str | None] | None:
    if isinstance(form, Several):
        return _from_several(form)
    if isinstance(form, Relation):
        return _from_relation(form)
    if isinstance(form, Union):
        return _from_union(form)
    return reals() if form == REALS else None


def _constants(forms: Sequence[Form]) -> list[Tree] | None:
    """The trees of the forms, or None if one of them has none or has variables."""
    trees = [tree for form in forms if (tree := tree_of(form)) is not None and not symbols(tree)]
    return trees if len(trees) == len(forms) else None


def _regions(forms: Sequence[Form]) -> list[tuple[list[Interval], str | None]] | None:
    """The sets of the forms, or None if one of them is no set."""
    found = [part for form in forms if (part := _region(form)) is not None]
    return found if len(found) == len(forms) else None


def _from_several(form: Several) -> tuple[list[Interval], str | None] | None:
    if form.kind == "tuple" and len(form.items) == 2 and form.brackets in ("()", "[]", "(]", "[)"):
        ends = _constants(form.items)
        if ends is None:
            return None
        low, high = ends
        if not _place(low) < _place(high):
            return None
        return [Interval(low, high, form.brackets[0] == "[", form.brackets[1] == "]")], None
    if form.kind == "set":
        trees = _constants(form.items)
        if trees is None:
            return None
        return [Interval(t, t, True, True) for t in trees], None
    if form.kind == "list" and all(isinstance(i, Relation) for i in form.items):
        parts = _regions(form.items)
        if parts is None or len({name for _, name in parts}) != 1:
            return None
        name = parts[0][1]
        if form.brackets == "and":
            total = parts[0][0]
            for other, _ in parts[1:]:
                total = _intersection(_merged(total), _merged(other))
            return total, name
        return [i for intervals, _ in parts for i in intervals], name
    return None


def _from_relation(form: Relation) -> tuple[list[Interval], str | None] | None:
    if form.signs == ("in",):
        inner = _parsed(form.sides[1])
        found = None if inner is None else _region(inner)
        return None if found is None else (found[0], form.sides[0].strip())
    if any(sign not in _FLIP for sign in form.signs) or len(form.signs) > 2:
        return None
    trees = [t for side in form.sides if (f := _parsed(side)) is not None and (t := tree_of(f)) is not None]
    if len(trees) < len(form.sides):
        return None
    names = frozenset().union(*(symbols(t) for t in trees))
    places = [n for n, t in enumerate(trees) if t[0] == "sym"]
    if len(names) != 1 or len(places) != 1 or any(symbols(t) for n, t in enumerate(trees) if n != places[0]):
        return None
    at = places[0]
    total = [Interval(MINUS_INFINITY, INFINITY, False, False)]
    for number, sign in enumerate(form.signs):
        if number + 1 == at:
            part = _half_line(_FLIP[sign], trees[number])
        elif number == at:
            part = _half_line(sign, trees[number + 1])
        else:
            return None
        total = _intersection(total, part)
    return total, trees[at][1]


def _parsed(text: str) -> Form | None:
    try:
        return read_form(text)
    except Unread:
        return None


def _half_line(sign: str, end: Tree) -> list[Interval]:
    if sign == "!=":
        return [Interval(MINUS_INFINITY, end, False, False), Interval(end, INFINITY, False, False)]
    if sign in ("<", "<="):
        return [Interval(MINUS_INFINITY, end, False, sign == "<=")]
    return [Interval(end, INFINITY, sign == ">=", False)]


def reals() -> tuple[list[Interval], None]:
    """All numbers."""
    return [Interval(MINUS_INFINITY, INFINITY, False, False)], None


def _from_union(form: Union) -> tuple[list[Interval], str | None] | None:
    parts = _regions(form.items)
    if parts is None:
        return None
    if form.sign == "\\cup":
        return [i for intervals, _ in parts for i in intervals], None
    total = _merged(parts[0][0])
    for other, _ in parts[1:]:
        other = _merged(other)
        total = _intersection(total, other if form.sign == "\\cap" else _complement(other))
    return total, None


def _complement(intervals: list[Interval]) -> list[Interval]:
    found, low, closed = [], MINUS_INFINITY, False
    for i in intervals:
        if _place(low) < _place(i.low) or (_place(low) == _place(i.low) and closed and not i.low_closed):
            found.append(Interval(low, i.low, closed, not i.low_closed))
        low, closed = i.high, not i.high_closed
    if is_infinite(low) != 1:
        found.append(Interval(low, INFINITY, closed, False))
    return found


def _intersection(one: list[Interval], other: list[Interval]) -> list[Interval]:
    found = []
    for a in one:
        for b in other:
            low = max((a.low, a.low_closed), (b.low, b.low_closed), key=lambda e: (_place(e[0]), not e[1]))
            high = min((a.high, a.high_closed), (b.high, b.high_closed), key=lambda e: (_place(e[0]), e[1]))
            if _place(low[0]) < _place(high[0]) or (_place(low[0]) == _place(high[0]) and low[1] and high[1]):
                found.append(Interval(low[0], high[0], low[1], high[1]))
    return found


def _merged(intervals: list[Interval]) -> list[Interval]:
    """The intervals sorted, with touching ones merged."""
    found: list[Interval] = []
    for i in sorted(intervals, key=lambda i: (_place(i.low), not i.low_closed)):
        last = found[-1] if found else None
        if last is None or not (
            _place(i.low) < _place(last.high)
            or (_place(i.low) == _place(last.high) and (i.low_closed or last.high_closed))
        ):
            found.append(i)
            continue
        end = max((last.high, last.high_closed), (i.high, i.high_closed), key=lambda e: (_place(e[0]), e[1]))
        found[-1] = Interval(last.low, end[0], last.low_closed, end[1])
    return found


def same_region(one: list[Interval], other: list[Interval]) -> bool:
    """Whether two sets of numbers are the same."""
    return len(one) == len(other) and all(
        (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed) and _same(a.low, b.low) and _same(a.high, b.high)
        for a, b in zip(one, other, strict=True)
    )


def _same(one: Tree, other: Tree) -> bool:
    if is_infinite(one) or is_infinite(other):
        return is_infinite(one) == is_infinite(other)
    return equal_expressions(one, other)


_NAME = r"(?:[A-Za-hj-z]|\\(?:" + "|".join(sorted(GREEK)) + r")(?![A-Za-z]))'?(?:\s*_\s*(?:\{[^{}]*\}|\w))?'?"
_VARIABLE = re.compile(
    rf"(?:m?\s*\\angle\s*)?{_NAME}(?:\s*\([^()=<>]{{1,20}}\))?"
    r"|(?:m?\s*\\angle\s*|\\overline\{)?[A-Z]{2,4}\}?|\\angle\s*[A-Z]"
    r"|\\(?:vec|hat|overrightarrow|overline)\s*\{?\s*[A-Za-z]{1,2}\s*\}?|\(\s*[a-z](?:\s*,\s*[a-z])+\s*\)"
)


def is_variable(text: str) -> bool:
    """Whether one side of an equation names the unknown: `x`, `a_n`, `f(2)`, `AB`; not `e`, not a number."""
    return _VARIABLE.fullmatch(text) is not None and text != "e"
