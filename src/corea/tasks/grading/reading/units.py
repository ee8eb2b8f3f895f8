"""Units after a number. Names and sizes come from pint (https://pint.readthedocs.io); currencies have a separate list.

A word is a unit only if pint knows its full name, or it is one of the usual symbols. pint's reading of symbols is too
permissive for answers: it takes "at" for attotonnes and "k" for Boltzmann's constant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from corea.tasks.grading.reading.tables import words

if TYPE_CHECKING:
    import pint

_SYMBOLS = {
    "mm": "millimeter", "cm": "centimeter", "dm": "decimeter", "km": "kilometer", "nm": "nanometer", "um": "micrometer",
    "in": "inch", "ins": "inch", "ft": "foot", "yd": "yard", "yds": "yard", "mi": "mile", "mg": "milligram",
    "kg": "kilogram",
    "kgs": "kilogram", "gm": "gram", "gms": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce", "sec": "second",
    "secs": "second", "ms": "millisecond", "min": "minute", "mins": "minute", "hr": "hour", "hrs": "hour", "yr": "year",
    "yrs": "year", "wk": "week", "wks": "week", "ml": "milliliter", "mL": "milliliter", "cl": "centiliter",
    "dl": "deciliter", "gal": "gallon", "pt": "pint", "qt": "quart", "cc": "centimeter**3", "kcal": "kilocalorie",
    "cal": "calorie", "kJ": "kilojoule", "kN": "kilonewton", "kW": "kilowatt", "MW": "megawatt", "kWh": "kilowatt*hour",
    "Wh": "watt*hour", "kV": "kilovolt", "mV": "millivolt", "mA": "milliampere", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "Pa": "pascal", "kPa": "kilopascal", "MPa": "megapascal", "mol": "mole",
    "rad": "radian", "deg": "degree", "mph": "mile/hour", "kph": "kilometer/hour", "kmh": "kilometer/hour",
    "kmph": "kilometer/hour", "fps": "foot/second", "ha": "hectare", "eV": "electronvolt", "kB": "kilobyte",
    "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "KB": "kilobyte", "tbsp": "tablespoon", "tsp": "teaspoon",
    "atm": "atmosphere", "rpm": "revolution/minute", "Ω": "ohm", "persons": "", "μm": "micrometer", "µm": "micrometer",
}  # fmt: skip
_LETTERS = {
    "m": "meter", "g": "gram", "s": "second", "h": "hour", "l": "liter", "L": "liter", "N": "newton", "J": "joule",
    "W": "watt", "V": "volt", "A": "ampere", "K": "kelvin", "C": "degree_Celsius", "F": "degree_Fahrenheit",
}  # fmt: skip
"""Units only after a space (`5 m`, `5\\mathrm{m}`): `5m` could also be five times m."""
_MONEY = {
    **dict.fromkeys(("dollar", "usd", "buck"), "dollar"), **dict.fromkeys(("cent", "penny", "pennie"), "cent"),
    **dict.fromkeys(("euro", "eur"), "euro"), **dict.fromkeys(("gbp", "quid"), "gbp"),
    **dict.fromkeys(("yen", "jpy"), "yen"),
    **dict.fromkeys(("rupee", "inr", "rs", "rupie"), "rupee"), **dict.fromkeys(("ruble", "rub", "rouble"), "ruble"),
    **dict.fromkeys(("krw",), "won"), **dict.fromkeys(("lira",), "lira"),
    **dict.fromkeys(("yuan", "rmb", "cny", "元"), "yuan"), **dict.fromkeys(("franc", "chf"), "franc"),
    **dict.fromkeys(("peso", "mxn"), "peso"), "円": "yen", "원": "won",
}  # fmt: skip
_OTHER = {"unit": "unit", "个": "count", "個": "count", "개": "count"}
_NOT_UNITS = frozenset(words(
    "alpha beta gamma lambda sigma zeta are dot den jig shot shake bag circle gravity gray count section point pole "
    "perch pond link mas fermi particle candle tex toe rem fifth quarter percent permille ppm bps thou mil score dozen "
    "strain turn hand didot cicero oct octet kip poise nit galileo gilbert darcy maxwell molar gill barn shed slug "
    "stone scruple reyn pel bit bar")
) - {"bar", "stone", "bit"}  # fmt: skip
_PREFIXES = ("", "kilo", "mega", "giga", "tera", "hecto", "deca", "deci", "centi", "milli", "micro", "nano", "pico")
_WORDS = re.compile(r"\^\{\\circ\}|[^\W\d_]+(?:'s)?|\^\s*\{?\s*-?[0-9]\s*\}?|/|\\cdot|\\times|\*|-|\.|\(|\)")
_MODIFIERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_DEGREES = {"celsius": "degree_Celsius", "c": "degree_Celsius", "centigrade": "degree_Celsius"} | {
    "fahrenheit": "degree_Fahrenheit", "f": "degree_Fahrenheit", "kelvin": "kelvin", "k": "kelvin"}  # fmt: skip


Measure = tuple[tuple[tuple[str, int], ...], float]
"""Base dimensions, or names of units without conversion, each with its exponent; size in base units."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number."""

    dimension: tuple[tuple[str, int], ...]
    """Base dimensions, or names of units without conversion, each with its exponent."""
    factor: Fraction | float
    """Size in base units."""
    text: str


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=2048)
def _named(word: str) -> str | None:
    """pint's name of the unit if the word is its full name, singular or plural; else None."""
    folded = word.casefold()
    if len(folded) < 3 or not folded.isascii() or not folded.isalpha() or folded.removesuffix("s") in _NOT_UNITS:
        return None
    if folded in ("feet", "inches", "centuries", "metre", "metres", "litre", "litres"):
        return {"feet": "foot", "inches": "inch", "centuries": "century"}.get(folded, folded.removesuffix("s"))
    for prefix, unit, suffix in _registry().parse_unit_name(folded):
        whole = f"{prefix}{unit}" == folded.removesuffix("s") or f"{prefix}{unit}" == folded
        if prefix in _PREFIXES and suffix in ("", "s") and whole and len(unit) >= 3 and unit not in _NOT_UNITS:
            return f"{prefix}{unit}"
    if folded.endswith("metres") or folded.endswith("metre") or folded.endswith("litre") or folded.endswith("litres"):
        return _named(folded.replace("metre", "meter").replace("litre", "liter"))
    return None


@lru_cache(maxsize=2048)
def _size(name: str) -> Measure | None:
    """Base dimensions and factor of a pint expression."""
    import pint

    if name.startswith("degree_"):
        return ((name, 1),), 1.0
    try:
        quantity = _registry().Quantity(1, name).to_base_units()
    except (pint.errors.PintError, ValueError, TypeError, AttributeError):
        return None
    units = {str(k): int(v) for k, v in quantity._units.items() if k not in ("radian", "count")}
    if not units:
        units = {"angle": 1}
    return tuple(sorted(units.items())), float(quantity.magnitude)


def _single(word: str, spaced: bool) -> Measure | None:
    """Dimension and size of one word."""
    folded = word.casefold().removesuffix("'s")
    stem = folded.removesuffix("s")
    if (name := _MONEY.get(folded) or _MONEY.get(stem)) is not None:
        return (("dollar", 1),) if name in ("dollar", "cent") else ((name, 1),), 0.01 if name == "cent" else 1.0
    if (name := _OTHER.get(folded) or _OTHER.get(stem)) is not None:
        return ((name, 1),), 1.0
    if word in _LETTERS:
        return _size(_LETTERS[word]) if spaced else None
    name = _SYMBOLS.get(word) or (_SYMBOLS.get(folded) if len(word) > 2 else None) or _named(word)
    return _size(name) if name else None


class _Product:
    """Collects the factors of a unit, word by word."""

    def __init__(self) -> None:
        self.dimension: dict[str, int] = {}
        self.size = 1.0
        self.sign = 1
        """-1 after "per" and "/"."""
        self.pending = 0
        """Exponent of the next word, set by "square" or "cubic"."""
        self.last: tuple[tuple[tuple[str, int], ...], float, int] | None = None
        """Dimension, size and sign of the previous word, which "squared" or "^2" may raise to a power."""

    def times(self, dimension: tuple[tuple[str, int], ...], size: float, power: int, sign: int) -> None:
        for key, exponent in dimension:
            self.dimension[key] = self.dimension.get(key, 0) + sign * exponent * power
        self.size *= size ** (sign * power)

    def add(self, found: Measure) -> None:
        self.times(*found, self.pending or 1, self.sign)
        self.pending, self.last = 0, (*found, self.sign)

    def raise_last(self, power: int) -> bool:
        if self.last is None:
            return False
        self.times(self.last[0], self.last[1], power - 1, self.last[2])
        self.last = None
        return True

    def unit(self, text: str) -> Unit | None:
        if self.pending or (not self.dimension and self.last is None):
            return None
        return Unit(tuple(sorted((k, v) for k, v in self.dimension.items() if v)), self.size, text)


@lru_cache(maxsize=4096)
def read_unit(text: str, spaced: bool = True) -> Unit | None:
    """The unit if the whole text is one ("square feet", "km/h", "cm^2", "^{\\circ}"), else None.

    Args:
        spaced: a space separates it from the number, so that a single letter may be a unit.
    """
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    tokens = _WORDS.findall(text) if len(text) <= 80 else []
    if not tokens or "".join(tokens).replace(" ", "") != "".join(text.split()):
        return None
    product, place = _Product(), 0
    while place < len(tokens):
        token, lower = tokens[place], tokens[place].casefold()
        place += 1
        if token in (".", "-", "*", "\\cdot", "\\times") or (lower in _NATIONS and place < len(tokens)):
            continue
        if token == "/" or (lower in ("per", "an", "a") and product.last is not None):
            product.sign = -1
        elif lower in ("square", "sq", "cubic", "cu"):
            product.pending = _MODIFIERS[lower]
        elif (power := _exponent(token)) is not None:
            if not product.raise_last(power):
                return None
        elif lower in ("old", "long", "tall", "wide") and product.last is not None and place == len(tokens):
            continue
        else:
            found, taken = _word(token, tokens[place : place + 1], spaced or place > 1)
            if found is None:
                return None
            product.add(found)
            place += taken
    return product.unit(text)


_NATIONS = ("us", "american", "canadian", "australian")


def _exponent(token: str) -> int | None:
    """2 for `^2`, `^{2}` and "squared"."""
    if token.casefold() in _MODIFIERS:
        return _MODIFIERS[token.casefold()]
    if token.startswith("^") and token != "^{\\circ}":
        return int(re.sub(r"[^0-9-]", "", token) or 1)
    return None


def _word(token: str, following: list[str], spaced: bool) -> tuple[Measure | None, int]:
    """(dimension and size of one word, how many of the following words belong to it): "degrees Celsius" takes one."""
    if token.casefold() not in ("degree", "degrees", "deg") and token != "^{\\circ}":
        return _single(token, spaced), 0
    scale = _DEGREES.get(following[0].casefold()) if following else None
    return _size(scale or "degree"), int(scale is not None)


def same_kind(one: Unit, other: Unit) -> bool:
    """Whether two units have the same dimension. Pounds may be money."""
    pounds = {u.text.casefold().rstrip("s") for u in (one, other) if u.dimension != _POUND}
    return one.dimension == other.dimension or (_POUND in (one.dimension, other.dimension) and pounds == {"pound"})


_POUND = (("gbp", 1),)
CURRENCY = re.compile(r"(?:USD|US|EUR|GBP|JPY|INR|RUB|KRW|TRY|CNY|RMB|CHF|CAD|AUD|Rs\.?)(?![A-Za-z])\s*")
"""The name of a currency before a number."""
