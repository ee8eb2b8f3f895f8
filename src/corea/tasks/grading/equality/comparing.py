"""Whether an answer equals the gold: one rule for each kind of gold."""

from __future__ import annotations

from corea.tasks.grading.equality.findings import KINDS, YES, Finding, Terms
from corea.tasks.grading.equality.numbers import compare_number, equal_constants, unit_conflict
from corea.tasks.grading.equality.regions import tree_of
from corea.tasks.grading.equality.relations import compare_regions, compare_relation, compare_to_relation
from corea.tasks.grading.equality.values import equal_expressions, is_infinite
from corea.tasks.grading.reading.shapes import (
    Based,
    Expression,
    Form,
    Matrix,
    Number,
    Relation,
    Several,
    Text,
    Union,
    Words,
)
from corea.tasks.grading.reading.tokens import Unread
from corea.tasks.grading.reading.trees import symbols


def compare(gold: Form, answer: Form, terms: Terms) -> Finding:
    """Whether the answer equals the gold; the note says why not.

    Raises:
        Unread, ArithmeticError: a part cannot be read, or its value cannot be computed.
    """
    if isinstance(answer, Relation) and not isinstance(gold, Relation):
        return compare_to_relation(gold, answer, terms, compare)
    if isinstance(gold, Number):
        return compare_number(gold, answer, terms)
    if isinstance(gold, Expression):
        return _expression(gold, answer, terms)
    if isinstance(gold, Words):
        if isinstance(answer, Words) and answer.text == gold.text:
            return YES
        return Finding(False, "not the gold's words")
    if isinstance(gold, Text):
        found = YES if gold == answer else compare_regions(gold, answer)
        return found or Finding(False, "not the gold's text")
    if isinstance(gold, Based):
        return _based(gold, answer)
    if isinstance(gold, Matrix):
        return _matrix(gold, answer, terms)
    if isinstance(gold, Relation):
        return compare_relation(gold, answer, terms, compare)
    if isinstance(gold, Union):
        if (
            isinstance(answer, Union)
            and answer.sign == gold.sign != "\\setminus"
            and not _several(Several("list", gold.items), Several("list", answer.items), terms).note
        ):
            return YES
        return compare_regions(gold, answer) or Finding(False, "not the gold's set")
    return _several(gold, answer, terms)


def _expression(gold: Expression, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "set" and len(answer.items) == 1:
        answer = answer.items[0]
    tree = tree_of(answer)
    if tree is None:
        count = f"{len(answer.items)} values" if isinstance(answer, Several) else KINDS[type(answer)]
        return Finding(False, f"{count}, but the gold is one expression")
    if isinstance(answer, Number | Expression) and (conflict := unit_conflict(gold, answer, terms.asked)) is not None:
        return conflict
    if is_infinite(gold.tree) or is_infinite(tree):
        return YES if is_infinite(gold.tree) == is_infinite(tree) else Finding(False, "only one of the two is infinite")
    if not symbols(gold.tree):
        if symbols(tree):
            return Finding(False, "has variables, but the gold is a constant")
        return YES if equal_constants(gold.tree, tree) else Finding(False, "not the gold's value")
    if symbols(gold.tree) != symbols(tree) and not symbols(tree) <= symbols(gold.tree):
        return Finding(False, f"variables that are not the gold's: {', '.join(sorted(symbols(tree)))[:40]}")
    return YES if equal_expressions(gold.tree, tree) else Finding(False, "an expression that does not equal the gold")


def _based(gold: Based, answer: Form) -> Finding:
    if isinstance(answer, Based):
        return YES if answer == gold else Finding(False, "not the gold's digits or base")
    if isinstance(answer, Number) and answer.places is None and not answer.percent and str(answer.value) == gold.digits:
        return YES
    return Finding(False, f"not the gold's digits (base {gold.base})")


def _matrix(gold: Matrix, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "tuple" and all(len(row) == 1 for row in gold.rows):
        answer = Matrix(tuple((item,) for item in answer.items))  # a column vector written as a point
    if not isinstance(answer, Matrix) or answer.determinant != gold.determinant:
        return Finding(False, "not a matrix, but the gold is one")
    if [len(r) for r in answer.rows] != [len(r) for r in gold.rows]:
        return Finding(False, "a matrix that does not have the gold's shape")
    for wanted, given in zip(gold.rows, answer.rows, strict=True):
        for one, other in zip(wanted, given, strict=True):
            if not compare(one, other, terms).right:
                return Finding(False, "a matrix with an entry that differs from the gold's")
    return YES


def _several(gold: Several, answer: Form, terms: Terms) -> Finding:
    if gold.kind != "list" and (found := compare_regions(gold, answer)) is not None:
        return found
    if isinstance(answer, Matrix) and gold.kind == "tuple" and all(len(row) == 1 for row in answer.rows):
        answer = Several("tuple", tuple(row[0] for row in answer.rows), gold.brackets)
    if gold.kind == "list" and isinstance(answer, Several) and answer.kind == "set":
        answer = Several("list", answer.items)
    if gold.kind == "set" and isinstance(answer, Several) and answer.kind == "list":
        answer = Several("set", answer.items)
    if (
        gold.kind == "list"
        and all(isinstance(i, Relation) for i in gold.items)
        and (found := compare_regions(gold, answer))
    ):
        return found
    if gold.kind == "set" and len(gold.items) == 1 and not isinstance(answer, Several):
        return compare(gold.items[0], answer, terms)
    if not isinstance(answer, Several) or answer.kind != gold.kind:
        return Finding(False, f"not a {gold.kind} of {len(gold.items)}, as the gold is")
    if len(answer.items) != len(gold.items):
        return Finding(False, f"{len(answer.items)} values, but the gold has {len(gold.items)}")
    if gold.kind == "tuple":
        if gold.brackets != answer.brackets:
            return Finding(False, f"brackets {answer.brackets}, but the gold has {gold.brackets}")
        for one, other in zip(gold.items, answer.items, strict=True):
            found = compare(one, other, terms)
            if not found.right:
                return Finding(False, f"one of the values: {found.note}")
        return YES
    left = list(answer.items)
    for one in gold.items:
        place = next((n for n, other in enumerate(left) if _matches(one, other, terms)), None)
        if place is None:
            return Finding(False, "a value of the gold is missing")
        del left[place]
    return YES


def _matches(gold: Form, answer: Form, terms: Terms) -> bool:
    try:
        return compare(gold, answer, terms).right
    except (Unread, ArithmeticError):
        return False
