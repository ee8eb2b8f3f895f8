"""Relations and sets of real numbers: `x<3` is `(-\\infty,3)`, `x=5` counts as `5`, `0=5` does not."""

from __future__ import annotations

from collections.abc import Callable

from corea.tasks.grading.equality.findings import YES, Finding, Terms
from corea.tasks.grading.equality.regions import is_variable, region, same_region
from corea.tasks.grading.equality.values import equal_expressions, ratio_sign
from corea.tasks.grading.reading.expressions import read_expression
from corea.tasks.grading.reading.forms import read_form
from corea.tasks.grading.reading.normal import squeezed
from corea.tasks.grading.reading.shapes import Form, Number, Relation
from corea.tasks.grading.reading.tokens import Unevaluated, Unread
from corea.tasks.grading.reading.trees import Tree

Compare = Callable[[Form, Form, Terms], Finding]
"""`comparing.compare`, which calls the functions of this module."""
_ORDER = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def compare_regions(gold: Form, answer: Form) -> Finding | None:
    """Whether two sets of real numbers are the same; None if one of the two is not such a set."""
    if gold == answer:
        return YES
    try:
        one, other = region(gold), region(answer)
    except (ArithmeticError, TypeError, ValueError):
        return None
    if one is None or other is None:
        return None
    if one[1] is not None and other[1] is not None and one[1] != other[1]:
        return Finding(False, f"is about {other[1]}, but the gold is about {one[1]}")
    return YES if same_region(one[0], other[0]) else Finding(False, "not the gold's set of numbers")


def compare_to_relation(gold: Form, answer: Relation, terms: Terms, compare: Compare) -> Finding:
    """A relation when the gold is not one: `x=5` counts as `5`; `0=5` and `x>5` do not count."""
    if (found := compare_regions(gold, answer)) is not None:
        return found
    if answer.signs == ("in",) and is_variable(answer.sides[0]):
        return compare(gold, read_form(answer.sides[1], terms.asked), terms)
    if any(sign != "=" for sign in answer.signs):
        return Finding(False, "a relation, but the gold is not one")
    at = [n for n, side in enumerate(answer.sides) if is_variable(side)]
    if len(at) != 1 or at[0] not in (0, len(answer.sides) - 1):
        return Finding(False, "an equation without a variable on either side")
    others = [side for n, side in enumerate(answer.sides) if n != at[0]]
    last = others[-1] if at[0] == 0 else others[0]
    for side in others:
        if side != last and not equal_expressions(read_expression(side), read_expression(last)):
            return Finding(False, "an equation that does not hold")
    return compare(gold, read_form(last, terms.asked), terms)


def compare_relation(gold: Relation, answer: Form, terms: Terms, compare: Compare) -> Finding:
    if (found := compare_regions(gold, answer)) is not None:
        return found
    if isinstance(answer, Relation):
        return _two_relations(gold, answer, terms, compare)
    for variable, other in _sided(gold):
        if is_variable(variable):
            return compare(read_form(other, terms.asked, True), answer, terms)
    return Finding(False, "not a relation, but the gold is one")


def _sided(relation: Relation) -> list[tuple[str, str]]:
    """(side, other side) in both orders, of an equation or of `x \\in A`."""
    if len(relation.sides) != 2 or relation.signs[0] not in ("=", "in"):
        return []
    left, right = relation.sides
    return [(left, right), (right, left)] if relation.signs[0] == "=" else [(left, right)]


def _two_relations(gold: Relation, answer: Relation, terms: Terms, compare: Compare) -> Finding:
    wrong = Finding(False, "not the gold's relation")
    if [squeezed(s) for s in gold.sides] == [squeezed(s) for s in answer.sides] and gold.signs == answer.signs:
        return YES
    for name, other in _sided(gold):
        for said, given in _sided(answer):
            if is_variable(name) and _same_name(name, said):
                wanted = read_form(other, terms.asked, True)
                found = compare(wanted, read_form(given, terms.asked), terms)
                if found.right or isinstance(wanted, Number):
                    return found
    if len(gold.sides) != 2 or len(answer.sides) != 2:
        return wrong
    try:
        one, two = (_difference(r) for r in (gold, answer))
    except Unevaluated:
        raise
    except Unread:
        return wrong
    sign = ratio_sign(one, two)
    due, stated = gold.signs[0], answer.signs[0]
    if sign == 0:
        return wrong
    if due in ("=", "!="):
        return YES if due == stated else wrong
    if due in _ORDER:
        return YES if stated == (due if sign > 0 else _ORDER[due]) else wrong
    return wrong


def _same_name(one: str, other: str) -> bool:
    """Whether two names mean the same; y is the usual name of f(x)."""
    names = {squeezed(one), squeezed(other)}
    return len(names) == 1 or names == {"y", "f(x)"}


def _difference(relation: Relation) -> Tree:
    left, right = (read_expression(side) for side in relation.sides)
    return ("add", left, ("neg", right))
