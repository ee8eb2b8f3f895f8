"""The columns of each model in a file of another tool, smallest model first, with the user's own columns in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.answers.importers.any_records import read_any
from corea.answers.importers.foreign_files import described, import_file, importer_of
from corea.answers.importers.imported import Imported
from corea.errors import UserError
from corea.tabular import Columns, columns_of


@dataclass(slots=True, kw_only=True)
class ModelTable:
    """The recorded answers of one model."""

    columns: Columns
    """Columns of an answers table, without tier; question and gold where the file has them."""
    model: str | None = None
    """Name of the model; None: a table of our own columns, which does not say."""
    positional: bool = False
    """True: question_id is the number of the row."""
    tool: str = ""
    """Name of the format; "" for our own columns."""


@dataclass(slots=True, kw_only=True)
class ImportedFile:
    """A file of another tool."""

    tool: str
    tables: list[ModelTable]
    """One per model."""
    line: str
    """What was taken from where."""


def read_known(path: str, pick: str | None, names: dict[str, str], key: str) -> ImportedFile | None:
    """A file of one of the known formats; None for other files.

    `names` are the user's own columns (ours -> where a record of the file has it), which `key` names in messages.
    Raises UserError if the file is not readable, or lacks one of `names`.
    """
    detected = importer_of(path)
    return None if detected is None else _tables(path, import_file(*detected, pick), names, key)


def read_guessed(path: str, pick: str | None, names: dict[str, str], key: str) -> ImportedFile | None:
    """Records of an unknown format, as far as names and values tell; None where a column of the user is not there."""
    found = read_any(Path(path), pick)
    if not found.rows:
        return None
    try:
        return _tables(path, found, names, key)
    except UserError:  # the caller has the better message
        return None


def _tables(path: str, found: Imported, names: dict[str, str], key: str) -> ImportedFile:
    shown = dict(found.taken)
    positions: dict[str, list[int]] = {}
    for n, row in enumerate(found.rows):
        positions.setdefault(str(row.get("model") or ""), []).append(n)
    tables = []
    for model in _ordered(found, positions):
        rows = [found.rows[n] for n in positions[model]]
        filled = {name for row in rows for name, value in row.items() if value is not None} - {"model"}
        columns = columns_of(path, [{name: row.get(name) for name in sorted(filled)} for row in rows])
        if names:
            own = columns_of(path, [found.raw[n] for n in positions[model]], names, key)
            columns.data.update(own.data)
            columns.nested.update(own.nested)
            columns.names = names
        numbered = found.positional and "question_id" not in names
        tables.append(ModelTable(columns=columns, model=model, positional=numbered, tool=found.tool))
    found.taken = shown | names
    return ImportedFile(tool=found.tool, tables=tables, line=described(path, found))


def _ordered(found: Imported, positions: dict[str, list[int]]) -> list[str]:
    """Models by mean cost where all costs are known, else by share of right answers, the smallest first."""
    if len(positions) < 2:
        return list(positions)
    for column, what in (("cost_usd", "mean cost"), ("correct", "share of right answers")):
        values = {model: [found.rows[n].get(column) for n in rows] for model, rows in positions.items()}
        known = {model: [float(v) for v in given if v is not None] for model, given in values.items()}
        if all(len(known[model]) == len(given) for model, given in values.items()):
            means = {model: sum(given) / len(given) for model, given in known.items()}
            if len({*means.values()}) > 1:
                ordered = sorted(positions, key=lambda model: means[model])
                found.notes.insert(0, f"tiers by {what}: {' < '.join(ordered)}")
                return ordered
    return list(positions)


def as_rows(tables: list[ModelTable]) -> list[dict[str, Any]]:
    """The rows of an answers table: those of all models, numbered as tiers."""
    rows = []
    for tier, table in enumerate(tables):
        listed = {name: array.to_pylist() for name, array in table.columns.data.items()}
        for n in range(len(table.columns)):
            rows.append({**{k: v[n] for k, v in listed.items()}, "tier": tier, "model": table.model})
    return rows
