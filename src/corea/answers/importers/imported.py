"""What every importer takes and returns.

An importer is a module with TOOL (the name in messages), `detect(source) -> bool` and `read(source, pick) -> Imported`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(slots=True, kw_only=True)
class Source:
    """A file, or a folder, as far as it was read to detect its format."""

    path: Path
    kind: str
    """".json", ".jsonl", ".csv", ".tsv" or ".eval"; "" for a folder."""
    document: Any = None
    """The whole value of a .json file."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The first records of a file with one JSON object per line."""
    columns: list[str] = field(default_factory=list)
    """Names of the columns of a CSV file."""


@dataclass(slots=True, kw_only=True)
class Imported:
    """The answers in one file of another tool, of one model or of several."""

    tool: str
    """Name of the format, for messages."""
    rows: list[dict[str, Any]]
    """One dict per answer: columns of the answers table, without tier; None where a value is missing."""
    raw: list[Any]
    """The record that each row comes from, for the user's own columns."""
    taken: dict[str, str]
    """Column -> where it comes from, for the log line."""
    notes: list[str] = field(default_factory=list)
    """What was left out, or chosen among several."""
    positional: bool = False
    """True: the file has no ids, and question_id is the number of the row, from 0."""

    @property
    def models(self) -> list[str]:
        """Names of the models, in order of appearance."""
        return list(dict.fromkeys(str(row.get("model") or "") for row in self.rows))


class Importer(Protocol):
    """A module that reads one format."""

    TOOL: str

    def detect(self, source: Source) -> bool:
        """Whether the source has this format."""
        ...

    def read(self, source: Source, pick: str | None) -> Imported:
        """The answers; `pick` names the filter, scorer or metric that gives the verdict. Raises UserError."""
        ...
