"""Whether an answer says what the gold says: one rule for each kind of gold."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from corea.tasks.grading.asked import Asked
from corea.tasks.grading.expressions import Tree, Unevaluated, Unread, holds, read_expression, symbols
from corea.tasks.grading.forms import (
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
    read_form,
)
from corea.tasks.grading.normal import squeezed
from corea.tasks.grading.regions import is_variable, region, same_region, tree_of
from corea.tasks.grading.units import Unit, same_kind
from corea.tasks.grading.values import constant, equal_expressions, exact_value, is_infinite, ratio_sign, rounds_to

_ORDER = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a comparison depends on besides the two forms."""

    asked: Asked = Asked()
    unevaluated: str = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a comparison."""

    right: bool
    note: str = ""


YES = Finding(True)


def compare(gold: Form, answer: Form, terms: Terms) -> Finding:
    """Whether the answer is the gold; the note says why not.

    Raises:
        Unread, ArithmeticError: a part cannot be read, or has no value that is computed.
    """
    if isinstance(answer, Relation) and not isinstance(gold, Relation):
        return _answer_relation(gold, answer, terms)
    if isinstance(gold, Number):
        return _number(gold, answer, terms)
    if isinstance(gold, Expression):
        return _expression(gold, answer, terms)
    if isinstance(gold, Words):
        if isinstance(answer, Words) and answer.text == gold.text:
            return YES
        return Finding(False, "other words than the gold's")
    if isinstance(gold, Text):
        found = YES if gold == answer else _regions(gold, answer)
        return found or Finding(False, "not the gold's text, which is compared as such")
    if isinstance(gold, Based):
        return _based(gold, answer)
    if isinstance(gold, Matrix):
        return _matrix(gold, answer, terms)
    if isinstance(gold, Relation):
        return _gold_relation(gold, answer, terms)
    if isinstance(gold, Union):
        return _regions(gold, answer) or Finding(False, "not the gold's set")
    return _several(gold, answer, terms)


# numbers -------------------------------------------------------------------------------------------------------------


def _number(gold: Number, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "set" and len(answer.items) == 1:
        answer = answer.items[0]
    if isinstance(answer, Number):
        return _two_numbers(gold, answer, terms)
    if isinstance(answer, Expression):
        return _number_expression(gold, answer, terms)
    if isinstance(answer, Several):
        return Finding(False, f"{len(answer.items)} values where the gold is one number")
    return Finding(False, f"{_KIND[type(answer)]} where the gold is a number")


def _two_numbers(gold: Number, answer: Number, terms: Terms) -> Finding:
    if (conflict := _unit_conflict(gold, answer, terms.asked)) is not None:
        return conflict
    if answer.label and gold.label and answer.label != gold.label and gold.unit is None:
        return Finding(False, f"{answer.label[:40]!r} where the gold says {gold.label[:40]!r}")
    factor = _conversion(gold.unit, answer.unit)
    accepted = [_value(gold)]
    if gold.percent and not answer.percent and answer.unit is None:
        accepted.append(gold.value)  # 28 for 28%
    given = [_value(answer)]
    if (
        answer.percent
        and not gold.percent
        and (terms.asked.percent or (gold.unit is not None and "%" in gold.unit.text))
    ):
        given.append(answer.value)
    for value in given:
        for wanted in accepted:
            if factor is not None:
                if _close(float(value) * factor, float(wanted)):
                    return YES
            elif value == wanted or _decimals(
                wanted, gold.places, gold.significant, value, answer.places, answer.significant
            ):
                return YES
    if factor is not None:
        return Finding(False, f"another quantity than the gold, whose unit is {gold.unit.text!r}")
    if answer.percent and not gold.percent and answer.value == gold.value:
        return Finding(False, "a percentage where neither gold nor question speaks of percent")
    return Finding(False, "another number than the gold")


def _value(number: Number) -> Fraction:
    return number.value / 100 if number.percent else number.value


def _decimals(
    gold: Fraction, gold_places: int | None, gold_digits: int, given: Fraction, places: int | None, digits: int
) -> bool:
    if places is not None and (gold_places is None or gold_places > places):
        return gold.denominator != 1 and rounds_to(gold, given, places, digits)
    if gold_places is not None and (places is None or places > gold_places):
        if given.denominator == 1:
            return False
        return rounds_to(given, gold, gold_places, gold_digits)
    return False


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other))


def _conversion(gold: Unit | None, answer: Unit | None) -> float | None:
    """What the answer's number is multiplied by to be in the gold's unit; None where nothing is converted."""
    if gold is None or answer is None or _close(float(gold.factor), float(answer.factor)):
        return None
    return float(answer.factor) / float(gold.factor)


def _unit_conflict(gold: Number | Expression, answer: Number | Expression, asked: Asked) -> Finding | None:
    if answer.unit is None:
        return None
    wanted = gold.unit or (asked.unit if not getattr(gold, "percent", False) else None)
    if wanted is None:
        if getattr(gold, "percent", False):
            return Finding(False, f"{answer.unit.text!r} where the gold is a percentage")
        label = getattr(gold, "label", "")
        return Finding(False, f"the unit {answer.unit.text!r} where the gold has {label[:30]!r}") if label else None
    if not same_kind(wanted, answer.unit) or (
        gold.unit is None and not _close(float(wanted.factor), float(answer.unit.factor))
    ):
        return Finding(False, f"the unit {answer.unit.text!r} where {wanted.text!r} is wanted")
    return None


def _number_expression(gold: Number, answer: Expression, terms: Terms) -> Finding:
    """An expression for a bare number: a fraction or a function of one number counts, arithmetic does not."""
    tree = answer.tree
    if names := symbols(tree):
        return Finding(
            False, f"holds the variable{'s' * (len(names) > 1)} {', '.join(sorted(names))[:30]}; the gold is a number"
        )
    if is_infinite(tree) or holds(tree, "inf"):
        return Finding(False, "infinity where the gold is a number")
    if (conflict := _unit_conflict(gold, answer, terms.asked)) is not None:
        return conflict
    equal = _constants(("num", _value(gold)), tree) or (gold.percent and _constants(("num", gold.value), tree))
    equal = equal or (gold.places is not None and _rounded(gold, tree))
    if not equal:
        return Finding(False, "another value than the gold")
    if terms.unevaluated == "wrong":
        if not is_evaluated(tree):
            return Finding(False, "equal to the gold but not worked out (data.grading.unevaluated=wrong)")
        if restates(tree, terms.asked):
            return Finding(False, "repeats the question instead of answering it (data.grading.unevaluated=wrong)")
    return YES


def restates(tree: Tree, asked: Asked) -> bool:
    """Whether a function of one number (`\\log_2 8`) stands in the question as it is."""
    if not asked.text or is_number(tree):
        return False
    return any(t in asked.text for t in _spellings(tree))


def _spellings(tree: Tree) -> tuple[str, ...]:
    inner = tree[1] if tree[0] in ("neg", "abs") else tree
    numbers = [str(t[1]) for t in inner[1:] if isinstance(t, tuple) and t[0] == "num" and t[1].denominator == 1]
    if inner[0] == "root" and numbers:
        return (f"\\sqrt{{{numbers[0]}}}", f"\\sqrt{numbers[0]}", f"sqrt({numbers[0]})", f"squarerootof{numbers[0]}")
    if inner[0] == "fn" and len(numbers) == 2:
        argument, base = numbers
        name = f"\\{inner[1]}"
        return tuple(
            f"{name}_{b}{a}"
            for b in (base, f"{{{base}}}")
            for a in (argument, f"{{{argument}}}", f"({argument})", f" {argument}")
        )
    if inner[0] == "fn" and numbers:
        return (f"\\{inner[1]} {numbers[0]}", f"\\{inner[1]}({numbers[0]})", f"{inner[1]}({numbers[0]})")
    return ()


def is_number(tree: Tree) -> bool:
    """Whether a tree is a number as one writes it: with a sign, as a fraction, times a power of ten."""
    kind = tree[0]
    if kind == "num":
        return True
    if kind == "neg":
        return tree[1][0] != "neg" and is_number(tree[1])
    if kind == "div":
        return all(t[0] == "num" or (t[0] == "neg" and t[1][0] == "num") for t in tree[1:])
    if kind == "pow":
        return tree[1] == ("num", Fraction(10)) and is_number(tree[2]) and tree[2][0] != "div"
    if kind == "mul":
        return len(tree) == 3 and tree[1][0] == "num" and tree[2][0] == "pow" and is_number(tree[2])
    return False


def is_evaluated(tree: Tree) -> bool:
    """Whether nothing is left to work out but a fraction or a function of one number."""
    if is_number(tree):
        return True
    kind = tree[0]
    if kind == "neg":
        return is_evaluated(tree[1])
    if kind == "fn":
        return all(_angle(t) for t in tree[2:])
    if kind in ("root", "abs"):
        return all(is_number(t) for t in tree[1:])
    return False


def _angle(tree: Tree) -> bool:
    """A number, a multiple of pi, an angle in degrees, a power of e or a root: what functions are usually asked of."""
    return (
        is_number(tree)
        or tree[0] == "const"
        or (tree[0] == "deg" and is_number(tree[1]))
        or (tree[0] in ("mul", "div") and len(tree) == 3 and all(is_number(t) or t[0] == "const" for t in tree[1:]))
    )


def _constants(one: Tree, other: Tree) -> bool:
    """Equality of two constants; decimals with six digits or more may be rounded."""
    if is_infinite(one) or is_infinite(other):
        return is_infinite(one) == is_infinite(other)
    if equal_expressions(one, other):
        return True
    for decimal, exact in ((one, other), (other, one)):
        sign, number = (-1, decimal[1]) if decimal[0] == "neg" else (1, decimal)
        if number[0] == "num" and len(number) > 2 and not (exact[0] == "num" and len(exact) > 2):
            digits = len(str(abs(number[1].numerator) * 10 ** number[2] // number[1].denominator))
            value = exact_value(exact)
            if value is not None and value.denominator == 1:
                continue
            if rounds_to(constant(exact) if value is None else value, sign * number[1], number[2], digits):
                return True
    return False


def _rounded(gold: Number, tree: Tree) -> bool:
    value = exact_value(tree)
    if value is not None and value.denominator == 1:
        return False
    return rounds_to(constant(tree) if value is None else value, _value(gold), gold.places or 0, gold.significant)


# expressions ---------------------------------------------------------------------------------------------------------


def _expression(gold: Expression, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "set" and len(answer.items) == 1:
        answer = answer.items[0]
    tree = tree_of(answer)
    if tree is None:
        count = f"{len(answer.items)} values" if isinstance(answer, Several) else _KIND[type(answer)]
        return Finding(False, f"{count} where the gold is one expression")
    if (conflict := _unit_conflict(gold, answer, terms.asked)) is not None:  # type: ignore[arg-type]
        return conflict
    if is_infinite(gold.tree) or is_infinite(tree):
        return YES if is_infinite(gold.tree) == is_infinite(tree) else Finding(False, "infinity on one side only")
    if not symbols(gold.tree):
        if symbols(tree):
            return Finding(False, "holds variables where the gold is a constant")
        return YES if _constants(gold.tree, tree) else Finding(False, "another value than the gold")
    if symbols(gold.tree) != symbols(tree) and not symbols(tree) <= symbols(gold.tree):
        return Finding(False, f"other variables than the gold: {', '.join(sorted(symbols(tree)))[:40]}")
    return YES if equal_expressions(gold.tree, tree) else Finding(False, "an expression that is not equal to the gold")


def _based(gold: Based, answer: Form) -> Finding:
    if isinstance(answer, Based):
        return YES if answer == gold else Finding(False, "other digits or another base than the gold")
    if isinstance(answer, Number) and answer.places is None and answer.value.denominator == 1 and not answer.percent:
        if str(answer.value) == gold.digits:
            return YES
    return Finding(False, f"not the gold's digits (base {gold.base})")


def _matrix(gold: Matrix, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "tuple" and all(len(row) == 1 for row in gold.rows):
        answer = Matrix(tuple((item,) for item in answer.items))  # a column vector written as a point
    if not isinstance(answer, Matrix) or answer.determinant != gold.determinant:
        return Finding(False, "no matrix where the gold is one")
    if [len(r) for r in answer.rows] != [len(r) for r in gold.rows]:
        return Finding(False, "a matrix of another shape than the gold")
    for wanted, given in zip(gold.rows, answer.rows, strict=True):
        for one, other in zip(wanted, given, strict=True):
            if not compare(one, other, terms).right:
                return Finding(False, "a matrix with another entry than the gold")
    return YES


# lists, sets, tuples -------------------------------------------------------------------------------------------------


def _several(gold: Several, answer: Form, terms: Terms) -> Finding:
    if gold.kind != "list" and (found := _regions(gold, answer)) is not None:
        return found
    if isinstance(answer, Matrix) and gold.kind == "tuple" and all(len(row) == 1 for row in answer.rows):
        answer = Several("tuple", tuple(row[0] for row in answer.rows), gold.brackets)
    if gold.kind == "list" and isinstance(answer, Several) and answer.kind == "set":
        answer = Several("list", answer.items)
    if gold.kind == "set" and isinstance(answer, Several) and answer.kind == "list":
        answer = Several("set", answer.items)
    if gold.kind == "list" and all(isinstance(i, Relation) for i in gold.items) and (found := _regions(gold, answer)):
        return found
    if gold.kind == "set" and len(gold.items) == 1 and not isinstance(answer, Several):
        return compare(gold.items[0], answer, terms)
    if not isinstance(answer, Several) or answer.kind != gold.kind:
        return Finding(False, f"not a {gold.kind} of {len(gold.items)} as the gold is")
    if len(answer.items) != len(gold.items):
        return Finding(False, f"{len(answer.items)} values where the gold has {len(gold.items)}")
    if gold.kind == "tuple":
        if gold.brackets != answer.brackets:
            return Finding(False, f"brackets {answer.brackets} where the gold has {gold.brackets}")
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


def _regions(gold: Form, answer: Form) -> Finding | None:
    """Where both are sets of real numbers, whether they are the same."""
    if gold == answer:
        return YES
    try:
        one, other = region(gold), region(answer)
    except (ArithmeticError, TypeError, ValueError):
        return None
    if one is None or other is None:
        return None
    if one[1] is not None and other[1] is not None and one[1] != other[1]:
        return Finding(False, f"speaks of {other[1]} where the gold speaks of {one[1]}")
    return YES if same_region(one[0], other[0]) else Finding(False, "another set of numbers than the gold")


# relations -----------------------------------------------------------------------------------------------------------


def _answer_relation(gold: Form, answer: Relation, terms: Terms) -> Finding:
    """A relation for a gold that is none: `x=5` counts by its other side, `0=5` and `x>5` do not."""
    if (found := _regions(gold, answer)) is not None:
        return found
    if answer.signs == ("in",) and is_variable(answer.sides[0]):
        return compare(gold, read_form(answer.sides[1], terms.asked), terms)
    if any(sign != "=" for sign in answer.signs):
        return Finding(False, "a relation where the gold is none")
    at = [n for n, side in enumerate(answer.sides) if is_variable(side)]
    if len(at) != 1 or at[0] not in (0, len(answer.sides) - 1):
        return Finding(False, "an equation of which neither side is a variable")
    others = [side for n, side in enumerate(answer.sides) if n != at[0]]
    last = others[-1] if at[0] == 0 else others[0]
    for side in others:
        if side != last and not equal_expressions(read_expression(side), read_expression(last)):
            return Finding(False, "an equation that does not hold")
    return compare(gold, read_form(last, terms.asked), terms)


def _gold_relation(gold: Relation, answer: Form, terms: Terms) -> Finding:
    if (found := _regions(gold, answer)) is not None:
        return found
    if isinstance(answer, Relation):
        return _two_relations(gold, answer, terms)
    for variable, other in _sided(gold):
        if is_variable(variable):
            return compare(read_form(other, terms.asked, True), answer, terms)
    return Finding(False, "no relation where the gold is one")


def _sided(relation: Relation) -> list[tuple[str, str]]:
    """(side, other side) in both orders, of an equation or of `x \\in A`."""
    if len(relation.sides) != 2 or relation.signs[0] not in ("=", "in"):
        return []
    left, right = relation.sides
    return [(left, right), (right, left)] if relation.signs[0] == "=" else [(left, right)]


def _two_relations(gold: Relation, answer: Relation, terms: Terms) -> Finding:
    wrong = Finding(False, "another relation than the gold")
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
    wanted, given = gold.signs[0], answer.signs[0]
    if sign == 0:
        return wrong
    if wanted in ("=", "!="):
        return YES if wanted == given else wrong
    if wanted in _ORDER:
        return YES if given == (wanted if sign > 0 else _ORDER[wanted]) else wrong
    return wrong


def _same_name(one: str, other: str) -> bool:
    """Whether two names stand for the same; y is what f(x) is usually called."""
    names = {squeezed(one), squeezed(other)}
    return len(names) == 1 or names == {"y", "f(x)"}


def _difference(relation: Relation) -> Tree:
    left, right = (read_expression(side) for side in relation.sides)
    return ("add", left, ("neg", right))


_KIND: dict[type, str] = {
    Number: "a number",
    Expression: "an expression",
    Words: "words",
    Text: "a text",
    Based: "a number in another base",
    Several: "several values",
    Matrix: "a matrix",
    Relation: "a relation",
    Union: "a set",
}
