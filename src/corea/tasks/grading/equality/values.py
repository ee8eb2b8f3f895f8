"""Values of expression trees: exactly as fractions where that is possible, else with 50 digits.

Two expressions with variables are equal if they agree at fixed points with unusual coordinates, so that different
expressions do not agree by chance: every variable has its own fractions, of both signs. The domain is the reals: a
point where one of the two is not real does not count.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath

from corea.tasks.grading.equality.evaluation import FINE, FINEST, ZERO, TooLarge, Undefined, evaluate, exact_or_none
from corea.tasks.grading.reading.trees import Tree, holds, symbols

CLOSE = mpmath.mpf(10) ** -35
CLOSEST, NOTHING = FINEST.mpf(10) ** -330, FINEST.mpf(10) ** -350
ENOUGH = 3
"""Number of points at which two expressions with variables must agree, to 35 digits, if that many have a real value."""
SMALLEST_DIGITS = 6
"""A decimal with at least this many significant digits counts as the number that it rounds."""


@lru_cache(maxsize=4096)
def exact_value(tree: Tree) -> Fraction | None:
    """The value of a constant expression as a fraction; None if it is not a fraction or not found to be one."""
    if symbols(tree):
        return None
    return exact_or_none(tree, {})


def is_infinite(tree: Tree) -> int:
    """1 or -1 for plus or minus infinity, else 0."""
    if tree == ("const", "inf"):
        return 1
    if tree[0] == "neg" and tree[1] == ("const", "inf"):
        return -1
    return 0


def constant(tree: Tree) -> Any:
    """The value of a constant to 50 digits; complex if necessary.

    Raises:
        ArithmeticError: it has no value.
    """
    if (value := exact_value(tree)) is not None:
        return FINE.mpf(value.numerator) / value.denominator
    return evaluate(tree, {}, FINE, holds(tree, "i"))


def _agree(one: Tree, other: Tree, point: dict[str, Fraction], complex_values: bool, finely: bool = True) -> bool:
    """Agreement to 35 digits, and with `finely` to 330: `\\sqrt{2^{900}+1}` is not `2^{450}`. Below that, equal."""
    a = evaluate(one, point, FINE, complex_values)
    b = evaluate(other, point, FINE, complex_values)
    size = max(abs(a), abs(b))
    if size > ZERO and abs(a - b) > CLOSE * size:
        return False
    if not finely and size > ZERO:
        return True
    a = evaluate(one, point, FINEST, complex_values)
    b = evaluate(other, point, FINEST, complex_values)
    size = max(abs(a), abs(b))
    return bool(size < NOTHING or abs(a - b) <= CLOSEST * size)


SPREAD = 97
_SIGNS = ((1, 1), (-1, 1), (1, -1), (1, 1), (-1, -1))


@lru_cache(maxsize=1024)
def points(names: frozenset[str]) -> list[dict[str, Fraction]]:
    """Five points: each variable has its own fractions, of both signs, below and above 1."""
    found = []
    for number, signs in enumerate(_SIGNS):
        point = {}
        for place, name in enumerate(sorted(names)):
            seed = zlib.crc32(f"{name}:{number}".encode())
            value = Fraction(101 + seed % 7919, 89 + (seed >> 13) % (997 if number % 2 else 7919))
            point[name] = signs[place % 2] * (value if value < 40 else value / SPREAD)
        found.append(point)
    return found


def equal_expressions(one: Tree, other: Tree) -> bool:
    """Whether two expressions have the same value wherever both are real; if neither ever is, over the complex numbers.

    Raises:
        ArithmeticError: at no point can the values of both be computed.
    """
    names = symbols(one) | symbols(other)
    if not names:
        a, b = exact_value(one), exact_value(other)
        if a is not None and b is not None:
            return a == b
    at = points(names) if names else [{}]
    if holds(one, "i") or holds(other, "i"):
        return all(_agree(one, other, point, True) for point in at)
    rational = bool(names) and not holds(("add", one, other), "root", "fn", "pi", "e", "app", "deg")
    agreed = 0
    for point in at:
        same = _same_fraction(one, other, point) if rational else None
        if same is None:
            try:
                same = _agree(one, other, point, False, finely=agreed == 0)
            except Undefined:
                continue
        if not same:
            return False
        agreed += 1
        if agreed == ENOUGH:
            return True
    if agreed >= min(2, len(at)):
        return True
    return all(_agree(one, other, point, True) for point in at)


def _same_fraction(one: Tree, other: Tree, point: dict[str, Fraction]) -> bool | None:
    a = exact_or_none(one, point)
    if a is None:
        return None
    b = exact_or_none(other, point)
    return None if b is None else a == b


def ratio_sign(one: Tree, other: Tree) -> int:
    """1 or -1 if `one` is a positive or negative constant times `other`, else 0."""
    names = symbols(one) | symbols(other)
    if not names:
        return 0
    ratios = []
    for point in points(names):
        try:
            a, b = (evaluate(t, point, FINE, False) for t in (one, other))
        except (Undefined, TooLarge):
            continue
        if abs(a) < ZERO or abs(b) < ZERO:
            return 0
        ratios.append(a / b)
    if len(ratios) < 3 or any(abs(r - ratios[0]) > CLOSE * abs(ratios[0]) for r in ratios):
        return 0
    return 1 if ratios[0] > 0 else -1


def rounds_to(exact: Any, decimal: Fraction, places: int, significant: int) -> bool:
    """Whether `decimal` is `exact`, rounded or truncated to the places of the decimal or to 12 digits.

    False if the decimal has fewer than 6 significant digits.
    """
    if significant < SMALLEST_DIGITS:
        return False
    value = FINE.mpf(exact.numerator) / exact.denominator if isinstance(exact, Fraction) else exact
    if isinstance(value, FINE.mpc) or value == 0:
        return False
    given = FINE.mpf(decimal.numerator) / decimal.denominator
    unit = FINE.mpf(10) ** -places
    rounded = abs(given - value) <= unit / 2
    cut = abs(given) <= abs(value) < abs(given) + unit and (given > 0) == (value > 0)
    return bool(rounded or cut or abs(given - value) <= abs(value) * FINE.mpf(10) ** -12)
