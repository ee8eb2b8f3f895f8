"""The value of an expression tree, as an exact fraction or to a number of digits; both with bounded work."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import comb, factorial
from typing import Any

import mpmath

from corea.tasks.grading.equality.operations import Evaluator, TooLarge, Undefined
from corea.tasks.grading.reading.trees import Tree

BITS, BUDGET = 40_000, 30_000
"""Largest exact number, and the work that one expression may cost (in words of 64 bits)."""
ZERO = mpmath.mpf(10) ** -40


class NotRational(ArithmeticError):
    """The value is not a fraction, or is not found to be one."""


def _context(digits: int) -> mpmath.MPContext:
    context = mpmath.MPContext()
    context.dps = digits
    return context


FINE, FINEST = _context(50), _context(400)


class _Exact(Evaluator):
    """Evaluates with fractions."""

    def __init__(self, point: dict[str, Fraction]):
        self.point = point
        self.budget = BUDGET

    def __call__(self, tree: Tree) -> Fraction:
        value = self.node(tree)
        bits = value.numerator.bit_length() + value.denominator.bit_length()
        self.budget -= 1 + bits // 64
        if bits > BITS or self.budget < 0:
            raise NotRational
        return value

    def number(self, value: Fraction) -> Fraction:
        return value

    def total(self, values: Iterable[Fraction]) -> Fraction:
        return sum(values, start=Fraction(0))

    def is_zero(self, value: Fraction) -> bool:
        return value == 0

    def other(self, tree: Tree) -> Fraction:
        kind = tree[0]
        if kind in ("floor", "ceil"):
            value = self(tree[1])
            return Fraction(value.__floor__() if kind == "floor" else value.__ceil__())
        if kind == "fact":
            return Fraction(factorial(self.small(tree[1], 4000)))
        if kind == "binom":
            above, below = self.small(tree[1], 4000), self.small(tree[2], 4000)
            return Fraction(comb(above, below))
        raise NotRational

    def small(self, tree: Tree, most: int) -> int:
        value = self(tree)
        if value.denominator != 1 or not 0 <= value <= most:
            raise NotRational
        self.budget -= int(value)
        return int(value)

    def power(self, tree: Tree) -> Fraction:
        base, exponent = self(tree[1]), self(tree[2])
        if exponent.denominator != 1:
            raise NotRational
        if base == 0:
            if exponent <= 0:
                raise Undefined
            return base
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(base) != 1 and size * abs(exponent) > BITS:
            raise NotRational
        return base ** int(exponent) if abs(base) != 1 else base ** int(exponent % 2)

    def root(self, value: Fraction, degree: Fraction) -> Fraction:
        if degree.denominator != 1 or not 2 <= degree <= 100:
            raise NotRational
        n = int(degree)
        if value < 0 and n % 2 == 0:
            raise NotRational
        above, below = _integer_root(abs(value.numerator), n), _integer_root(value.denominator, n)
        if above is None or below is None:
            raise NotRational
        return Fraction(above, below) * (-1 if value < 0 else 1)


def _integer_root(value: int, n: int) -> int | None:
    """The n-th root of a non-negative integer if it is an integer, else None."""
    if value.bit_length() > 4000:
        return None
    low, high = 0, 1 << (value.bit_length() // n + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**n <= value:
            low = middle
        else:
            high = middle - 1
    return low if low**n == value else None


class _Approximate(Evaluator):
    """Evaluates with mpmath; over the reals unless `complex_values`."""

    def __init__(self, point: dict[str, Fraction], context: mpmath.MPContext, complex_values: bool) -> None:
        self.point, self.mp, self.complex = point, context, complex_values

    def __call__(self, tree: Tree) -> Any:
        value = self.node(tree)
        if isinstance(value, self.mp.mpf):
            _, mantissa, exponent, _ = value._mpf_
            if not mantissa and exponent:  # infinite or NaN
                raise Undefined
            if not -(10**6) < exponent < 10**6:
                raise TooLarge
        elif not self.mp.isfinite(value) or not self.complex:
            raise Undefined
        return value

    def number(self, value: Fraction) -> Any:
        return self.mp.mpf(value.numerator) / value.denominator

    def total(self, values: Iterable[Any]) -> Any:
        return self.mp.fsum(values)

    def is_zero(self, value: Any) -> bool:
        return abs(value) < ZERO

    def other(self, tree: Tree) -> Any:
        mp, kind = self.mp, tree[0]
        if kind == "const":
            if tree[1] == "i":
                return mp.mpc(0, 1)
            if tree[1] == "inf":
                raise Undefined
            return +mp.pi if tree[1] == "pi" else +mp.e
        if kind in ("floor", "ceil"):
            return mp.floor(self(tree[1])) if kind == "floor" else mp.ceil(self(tree[1]))
        if kind == "fact":
            return self.factorial(self(tree[1]))
        if kind == "binom":
            return mp.binomial(self.modest(self(tree[1])), self.modest(self(tree[2])))
        if kind == "deg":
            return self(tree[1]) * mp.pi / 180
        if kind == "app":  # an arbitrary fixed function: two values agree only if the arguments do
            value = self(tree[2])
            return mp.sin(value * 7 / 5 + ord(tree[1])) + value / (ord(tree[1]) - 90)
        return self.function(tree)

    def modest(self, value: Any) -> Any:
        if abs(value) > 5000:
            raise TooLarge
        return value

    def factorial(self, value: Any) -> Any:
        return self.mp.gamma(self.modest(value) + 1)

    def power(self, tree: Tree) -> Any:
        mp = self.mp
        if tree[1] == ("const", "e"):
            return self.exp(self(tree[2]))
        base, exponent = self(tree[1]), self(tree[2])
        if base == 0:
            if mp.re(exponent) <= 0:
                raise Undefined
            return base
        if mp.isint(exponent) or self.complex:
            self.bounded(mp.log(abs(base)) * abs(exponent))
            return mp.power(base, int(exponent) if mp.isint(exponent) and abs(exponent) < 10**9 else exponent)
        if base < 0:
            fraction = exact_or_none(tree[2], self.point)
            if fraction is not None and fraction.denominator % 2:
                sign = -1 if fraction.numerator % 2 else 1
                return sign * mp.power(-base, exponent)
            raise Undefined
        self.bounded(mp.log(base) * exponent)
        return mp.power(base, exponent)

    def root(self, value: Any, degree: Any) -> Any:
        mp = self.mp
        if not mp.isint(degree) or not 2 <= degree <= 1000:
            raise Undefined
        if isinstance(value, mp.mpc) or (value < 0 and degree % 2 == 0):
            if not self.complex:
                raise Undefined
            return mp.root(value, int(degree))
        return -mp.root(-value, int(degree)) if value < 0 else mp.root(value, int(degree))

    def bounded(self, logarithm: Any) -> None:
        if abs(logarithm) > 10**5:
            raise TooLarge

    def exp(self, value: Any) -> Any:
        self.bounded(value)
        return self.mp.exp(value)

    def log(self, value: Any) -> Any:
        if value == 0 or (not self.complex and value < 0):
            raise Undefined
        return self.mp.log(value)

    def function(self, tree: Tree) -> Any:
        mp, name, x = self.mp, tree[1], self(tree[2])
        if name in ("log", "ln", "lg"):
            base = self(tree[3]) if len(tree) > 3 else (10 if name == "lg" else None)
            if base is None:
                return self.log(x)
            below = self.log(base)
            if below == 0:
                raise Undefined
            return self.log(x) / below
        if name == "exp":
            return self.exp(x)
        if name in ("arcsin", "arccos") and not self.complex and abs(x) > 1:
            raise Undefined
        if name.endswith("h"):
            self.bounded(x)
        found = getattr(mp, {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec",
                             "arccsc": "acsc"}.get(name, name))  # fmt: skip
        try:
            return found(x)
        except (ZeroDivisionError, ValueError) as error:
            raise Undefined from error


def exact_or_none(tree: Tree, point: dict[str, Fraction]) -> Fraction | None:
    """The value as a fraction, or None."""
    try:
        return _Exact(point)(tree)
    except (ArithmeticError, KeyError):
        return None


def evaluate(tree: Tree, point: dict[str, Fraction], context: mpmath.MPContext, complex_values: bool) -> Any:
    """The value to the digits of the context; over the reals unless `complex_values`.

    Raises:
        ArithmeticError: it has no value, or one outside the bounds.
    """
    try:
        return _Approximate(point, context, complex_values)(tree)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, mpmath.libmp.NoConvergence) as error:
        raise Undefined from error
