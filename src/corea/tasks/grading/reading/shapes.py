"""The forms of an answer: immutable dataclasses that can be compared and hashed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from corea.tasks.grading.reading.trees import Tree
from corea.tasks.grading.reading.units import Unit


@dataclass(frozen=True, slots=True)
class Number:
    """A written number with its unit."""

    value: Fraction
    places: int | None = None
    significant: int = 0
    percent: bool = False
    unit: Unit | None = None
    label: str = ""
    """Words after a gold number, or the words that the question counts."""


@dataclass(frozen=True, slots=True)
class Expression:
    """Any other mathematical expression with a value."""

    tree: Tree
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """A name or a phrase in lower case."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A form that is compared as text: a ratio, a time, a list with an ellipsis."""

    text: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a stated base."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Several:
    """A list or set (in any order), or a tuple."""

    kind: str
    items: tuple
    brackets: str = ""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of forms."""

    rows: tuple[tuple, ...]
    determinant: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """Sides joined by one or more signs; the sides are texts in normal form."""

    signs: tuple[str, ...]
    sides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """A union of sets, or a difference of two."""

    items: tuple
    sign: str = "\\cup"


Form = Number | Expression | Words | Text | Based | Several | Matrix | Relation | Union
