"""Values of expression trees: exactly as fractions where that is possible, else with 50 digits.

Two expressions with variables are equal if they agree at points that nobody can guess a collision for: every variable
has a fixed fraction of its own, of both signs. The domain is that of the reals: where one of the two is not defined
there, the point does not count.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial

import mpmath

from corea.tasks.grading.expressions import Tree, holds, symbols

BITS, BUDGET = 40_000, 30_000
"""Largest exact number, and the work that one expression may cost (in words of 64 bits)."""
CLOSE, ZERO = mpmath.mpf(10) ** -35, mpmath.mpf(10) ** -40
ENOUGH = 3
"""Points at which two expressions with variables have to agree, to 35 digits, where so many have a real value."""
SMALLEST_DIGITS = 6
"""A decimal with at least so many significant digits may stand for the number that it rounds."""


class NotRational(ArithmeticError):
    """The value is no fraction, or not found as one."""


class Undefined(ArithmeticError):
    """There is no value here (over the reals)."""


class TooLarge(ArithmeticError):
    """The value is beyond what is computed."""


def _context(digits: int):
    context = mpmath.MPContext()
    context.dps = digits
    return context


_FINE, _FINEST = _context(50), _context(400)


class _Exact:
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

    def node(self, tree: Tree) -> Fraction:
        kind = tree[0]
        if kind == "num":
            return tree[1]
        if kind == "sym":
            return self.point[tree[1]]
        if kind == "neg":
            return -self(tree[1])
        if kind == "add":
            return sum((self(t) for t in tree[2:]), start=self(tree[1]))
        if kind == "mul":
            value = self(tree[1])
            for t in tree[2:]:
                value = value * self(t)
            return value
        if kind == "div":
            below = self(tree[2])
            if below == 0:
                raise Undefined
            return self(tree[1]) / below
        if kind == "pow":
            return self.power(self(tree[1]), self(tree[2]))
        if kind == "root":
            return self.root(self(tree[1]), self(tree[2]))
        if kind == "abs":
            return abs(self(tree[1]))
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

    def power(self, base: Fraction, exponent: Fraction) -> Fraction:
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
    """The n-th root of a non-negative integer where it is an integer."""
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


class _Approximate:
    """Evaluates with mpmath; over the reals unless `complex_values`."""

    def __init__(self, point: dict[str, Fraction], context, complex_values: bool):
        self.point, self.mp, self.complex = point, context, complex_values

    def __call__(self, tree: Tree):
        value = self.node(tree)
        if isinstance(value, self.mp.mpf):
            _, mantissa, exponent, _ = value._mpf_
            if not mantissa and exponent:  # infinite, or no number
                raise Undefined
            if not -(10**6) < exponent < 10**6:
                raise TooLarge
        elif not self.mp.isfinite(value) or not self.complex:
            raise Undefined
        return value

    def fraction(self, value: Fraction):
        return self.mp.mpf(value.numerator) / value.denominator

    def node(self, tree: Tree):
        mp, kind = self.mp, tree[0]
        if kind == "num":
            return self.fraction(tree[1])
        if kind == "sym":
            return self.fraction(self.point[tree[1]])
        if kind == "const":
            if tree[1] == "i":
                return mp.mpc(0, 1)
            if tree[1] == "inf":
                raise Undefined
            return +mp.pi if tree[1] == "pi" else +mp.e
        if kind == "neg":
            return -self(tree[1])
        if kind == "add":
            return mp.fsum(self(t) for t in tree[1:])
        if kind == "mul":
            value = self(tree[1])
            for t in tree[2:]:
                value = value * self(t)
            return value
        if kind == "div":
            below = self(tree[2])
            if abs(below) < ZERO:
                raise Undefined
            return self(tree[1]) / below
        if kind == "pow":
            return self.power(tree)
        if kind == "root":
            return self.root(self(tree[1]), self(tree[2]))
        if kind == "abs":
            return abs(self(tree[1]))
        if kind in ("floor", "ceil"):
            return mp.floor(self(tree[1])) if kind == "floor" else mp.ceil(self(tree[1]))
        if kind == "fact":
            return self.factorial(self(tree[1]))
        if kind == "binom":
            return mp.binomial(self.modest(self(tree[1])), self.modest(self(tree[2])))
        if kind == "deg":
            return self(tree[1]) * mp.pi / 180
        if kind == "app":  # some function of its own: no identity but the arguments' makes two of them equal
            value = self(tree[2])
            return mp.sin(value * 7 / 5 + ord(tree[1])) + value / (ord(tree[1]) - 90)
        return self.function(tree)

    def modest(self, value):
        if abs(value) > 5000:
            raise TooLarge
        return value

    def factorial(self, value):
        return self.mp.gamma(self.modest(value) + 1)

    def power(self, tree: Tree):
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
            fraction = _exact_or_none(tree[2], self.point)
            if fraction is not None and fraction.denominator % 2:
                sign = -1 if fraction.numerator % 2 else 1
                return sign * mp.power(-base, exponent)
            raise Undefined
        self.bounded(mp.log(base) * exponent)
        return mp.power(base, exponent)

    def root(self, value, degree):
        mp = self.mp
        if not mp.isint(degree) or not 2 <= degree <= 1000:
            raise Undefined
        if isinstance(value, mp.mpc) or (value < 0 and degree % 2 == 0):
            if not self.complex:
                raise Undefined
            return mp.root(value, int(degree))
        return -mp.root(-value, int(degree)) if value < 0 else mp.root(value, int(degree))

    def bounded(self, logarithm) -> None:
        if abs(logarithm) > 10**5:
            raise TooLarge

    def exp(self, value):
        self.bounded(value)
        return self.mp.exp(value)

    def log(self, value):
        if value == 0 or (not self.complex and value < 0):
            raise Undefined
        return self.mp.log(value)

    def function(self, tree: Tree):
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


def _exact_or_none(tree: Tree, point: dict[str, Fraction]) -> Fraction | None:
    try:
        return _Exact(point)(tree)
    except (ArithmeticError, KeyError):
        return None


@lru_cache(maxsize=4096)
def exact_value(tree: Tree) -> Fraction | None:
    """The value of a constant expression as a fraction; None if it has none or is not found as one."""
    if symbols(tree):
        return None
    return _exact_or_none(tree, {})


def is_infinite(tree: Tree) -> int:
    """1 or -1 for plus or minus infinity, else 0."""
    if tree == ("const", "inf"):
        return 1
    if tree[0] == "neg" and tree[1] == ("const", "inf"):
        return -1
    return 0


def constant(tree: Tree):
    """The value of a constant with 50 digits (complex where it has to be).

    Raises:
        ArithmeticError: there is none.
    """
    if (value := exact_value(tree)) is not None:
        return _FINE.mpf(value.numerator) / value.denominator
    return _evaluate(tree, {}, _FINE, holds(tree, "i"))


def _evaluate(tree: Tree, point: dict[str, Fraction], context, complex_values: bool):
    try:
        return _Approximate(point, context, complex_values)(tree)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, mpmath.libmp.NoConvergence) as error:
        raise Undefined from error


def _agree(one: Tree, other: Tree, point: dict[str, Fraction], complex_values: bool) -> bool:
    a = _evaluate(one, point, _FINE, complex_values)
    b = _evaluate(other, point, _FINE, complex_values)
    size = max(abs(a), abs(b))
    if size == 0:
        return True
    if size < ZERO:  # a sum that cancels, or a number that is small in truth
        a = _evaluate(one, point, _FINEST, complex_values)
        b = _evaluate(other, point, _FINEST, complex_values)
        size = max(abs(a), abs(b))
        return size < _FINEST.mpf(10) ** -350 or abs(a - b) <= CLOSE * size
    if abs(a - b) > CLOSE * size:
        return False
    return True


SPREAD = 97
_SIGNS = ((1, 1), (-1, 1), (1, -1), (1, 1), (-1, -1))


@lru_cache(maxsize=1024)
def points(names: frozenset[str]) -> list[dict[str, Fraction]]:
    """Five points: every variable at a fraction of its own, of both signs, below and above 1."""
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
    """Whether two expressions have the same value wherever both are real (or, where neither is, over the complex).

    Raises:
        ArithmeticError: there is no point at which both have a value that is computed.
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
                same = _agree(one, other, point, False)
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
    a = _exact_or_none(one, point)
    if a is None:
        return None
    b = _exact_or_none(other, point)
    return None if b is None else a == b


def ratio_sign(one: Tree, other: Tree) -> int:
    """1 or -1 if `one` is a positive or negative constant times `other`, else 0."""
    names = symbols(one) | symbols(other)
    if not names:
        return 0
    ratios = []
    for point in points(names):
        try:
            a, b = (_evaluate(t, point, _FINE, False) for t in (one, other))
        except (Undefined, TooLarge):
            continue
        if abs(a) < ZERO or abs(b) < ZERO:
            return 0
        ratios.append(a / b)
    if len(ratios) < 3 or any(abs(r - ratios[0]) > CLOSE * abs(ratios[0]) for r in ratios):
        return 0
    return 1 if ratios[0] > 0 else -1


def rounds_to(exact, decimal: Fraction, places: int, significant: int) -> bool:
    """Whether a decimal is a number cut or rounded to its places (or to 12 digits), with at least 6 that count."""
    if significant < SMALLEST_DIGITS:
        return False
    value = _FINE.mpf(exact.numerator) / exact.denominator if isinstance(exact, Fraction) else exact
    if isinstance(value, _FINE.mpc) or value == 0:
        return False
    given = _FINE.mpf(decimal.numerator) / decimal.denominator
    unit = _FINE.mpf(10) ** -places
    rounded = abs(given - value) <= unit / 2
    cut = abs(given) <= abs(value) < abs(given) + unit and (given > 0) == (value > 0)
    return bool(rounded or cut or abs(given - value) <= abs(value) * _FINE.mpf(10) ** -12)
