"""The result of a comparison, and the settings of one."""

from __future__ import annotations

from dataclasses import dataclass, field

from corea.tasks.grading.reading.asked import Asked
from corea.tasks.grading.reading.shapes import Based, Expression, Matrix, Number, Relation, Several, Text, Union, Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Settings of a comparison."""

    asked: Asked = field(default_factory=Asked)
    """What the question asks for."""
    unevaluated: str = "wrong"
    """data.grading.unevaluated"""


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
"""Names of the forms in notes."""
