"""Whether an answer equals a gold that is a number: value, unit, percent, rounding.

- Value: equal as exact fractions. A decimal of six significant digits or more may also be the other value, rounded or
  cut to its places; a whole number is never rounded.
- Unit: an answer without one takes the gold's. A unit of the same dimension is converted (1 m is 100 cm); a unit of
  another dimension is wrong, and so is any unit for a gold with another label. If the gold has no unit, the unit that
  the question asks for (reading/asked.py) is required of an answer that states one.
- Percent: 28 counts for a gold of 28%, and 28% for a gold of 28 if the question asks for percent.
- An expression counts if its value equals the gold's and it is evaluated as `data.grading.unevaluated` asks.

reading/units.py says which words are units; reading/quantities.py splits a number from the text after it.
"""

from __future__ import annotations

from fractions import Fraction

from corea.tasks.grading.equality.findings import KINDS, YES, Finding, Terms
from corea.tasks.grading.equality.values import constant, equal_expressions, exact_value, is_infinite, rounds_to
from corea.tasks.grading.equality.worked_out import is_evaluated, restates
from corea.tasks.grading.reading.asked import Asked
from corea.tasks.grading.reading.shapes import Expression, Form, Number, Several
from corea.tasks.grading.reading.trees import Tree, holds, symbols
from corea.tasks.grading.reading.units import Unit, same_kind


def compare_number(gold: Number, answer: Form, terms: Terms) -> Finding:
    if isinstance(answer, Several) and answer.kind == "set" and len(answer.items) == 1:
        answer = answer.items[0]
    if isinstance(answer, Number):
        return _two_numbers(gold, answer, terms)
    if isinstance(answer, Expression):
        return _number_expression(gold, answer, terms)
    if isinstance(answer, Several):
        return Finding(False, f"{len(answer.items)} values, but the gold is one number")
    return Finding(False, f"{KINDS[type(answer)]}, but the gold is a number")


def _two_numbers(gold: Number, answer: Number, terms: Terms) -> Finding:
    if (conflict := unit_conflict(gold, answer, terms.asked)) is not None:
        return conflict
    if answer.label and gold.label and answer.label != gold.label and gold.unit is None:
        return Finding(False, f"{answer.label[:40]!r}, but the gold has {gold.label[:40]!r}")
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
    if factor is not None and gold.unit is not None:
        return Finding(False, f"not the gold's quantity, whose unit is {gold.unit.text!r}")
    if answer.percent and not gold.percent and answer.value == gold.value:
        return Finding(False, "a percentage, but neither the gold nor the question mentions percent")
    return Finding(False, "not the gold's number")


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
    """Factor that converts the answer's number to the gold's unit; None if there is none."""
    if gold is None or answer is None or _close(float(gold.factor), float(answer.factor)):
        return None
    return float(answer.factor) / float(gold.factor)


def unit_conflict(gold: Number | Expression, answer: Number | Expression, asked: Asked) -> Finding | None:
    if answer.unit is None:
        return None
    wanted = gold.unit or (asked.unit if not getattr(gold, "percent", False) else None)
    if wanted is None:
        if getattr(gold, "percent", False):
            return Finding(False, f"{answer.unit.text!r}, but the gold is a percentage")
        label = getattr(gold, "label", "")
        return Finding(False, f"the unit {answer.unit.text!r}, but the gold has {label[:30]!r}") if label else None
    if not same_kind(wanted, answer.unit) or (
        gold.unit is None and not _close(float(wanted.factor), float(answer.unit.factor))
    ):
        return Finding(False, f"the unit {answer.unit.text!r}; {wanted.text!r} is required")
    return None


def _number_expression(gold: Number, answer: Expression, terms: Terms) -> Finding:
    """An expression, but the gold is a bare number: a fraction or a function of one number counts, arithmetic not."""
    tree = answer.tree
    if names := symbols(tree):
        return Finding(
            False, f"has the variable{'s' * (len(names) > 1)} {', '.join(sorted(names))[:30]}; the gold is a number"
        )
    if is_infinite(tree) or holds(tree, "inf"):
        return Finding(False, "infinity, but the gold is a number")
    if (conflict := unit_conflict(gold, answer, terms.asked)) is not None:
        return conflict
    if (factor := _conversion(gold.unit, answer.unit)) is not None:
        right = _close(float(constant(tree)) * factor, float(gold.value))
        return YES if right else Finding(False, "not the gold's quantity")
    equal = equal_constants(("num", _value(gold)), tree) or (
        gold.percent and equal_constants(("num", gold.value), tree)
    )
    equal = equal or (gold.places is not None and _rounded(gold, tree))
    if not equal:
        return Finding(False, "not the gold's value")
    if terms.unevaluated == "wrong":
        if not is_evaluated(tree):
            return Finding(False, "equal to the gold but not evaluated (data.grading.unevaluated=wrong)")
        if restates(tree, terms.asked):
            return Finding(False, "repeats the question instead of answering it (data.grading.unevaluated=wrong)")
    return YES


def equal_constants(one: Tree, other: Tree) -> bool:
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
