"""The result of a comparison, and what it depends on besides gold and answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from corea.tasks.grading.asked import Asked
from corea.tasks.grading.shapes import Based, Expression, Matrix, Number, Relation, Several, Text, Union, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a comparison depends on besides the two forms."""

    asked: Asked = field(default_factory=Asked)
    unevaluated: str = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a comparison."""

    right: bool
    note: str = ""


YES = Finding(True)

KINDS: dict[type, str] = {
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
"""For notes."""
