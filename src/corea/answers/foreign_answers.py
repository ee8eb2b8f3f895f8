"""Answers of several models in one file of another tool, as an answers table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.answers.importers.model_tables import ImportedFile, as_rows, read_guessed, read_known
from corea.answers.schema import REQUIRED
from corea.answers.table import Answers, checked_answers
from corea.answers.typed_columns import ONE_DATASET, TEXT, typed_frame
from corea.column_hints import mapping_hint
from corea.errors import UserError
from corea.tabular import columns_of, read_columns
from corea.types import Status

STATUSES = {"error": Status.ERROR.value, "length": Status.TRUNCATED.value}
"""Finish reason -> status of the answer; others are ok."""


def read_foreign(
    path: str | Path, pick: str | None, names: dict[str, str], scale: float, text: bool = False
) -> Answers | None:
    """Read a file of another tool; None for a table in our own columns, or for one that cannot be understood.

    Arguments as in `read_answers`; `pick` names the filter, scorer or metric that gives the verdicts.
    Without confidences every question is deferred, as in a wide table.
    Raises UserError for a file with one model only, or without verdicts: `corea.collect` reads these.
    """
    file = read_known(str(path), pick, names, "columns") or _guessed(str(path), pick, names)
    if file is None:
        return None
    if len(file.tables) < 2:
        what = f"{file.tool} of one model; a cascade needs two, smallest first"
        raise UserError(f"{path}: {what}: python -m corea.collect engine=replay 'engine.tiers=[{path},OTHER]'")
    if any("correct" not in table.columns.data for table in file.tables):
        grade = f"corea.collect engine=replay 'engine.tiers=[{path}]' engine.questions=QUESTIONS grades them"
        raise UserError(f"{path}: {file.tool} without verdicts: python -m {grade}")
    columns = columns_of(path, _rows(file, text))
    columns.names = names
    columns.data.setdefault("confidence", pa.nulls(len(columns), pa.float64()))
    return checked_answers(path, columns, typed_frame(columns, scale), [file.line])


def _guessed(path: str, pick: str | None, names: dict[str, str]) -> ImportedFile | None:
    """Records of several models; one model only where the table has nothing that might be a tier."""
    found = read_columns(path, lambda name: False).found
    missing = [name for name in REQUIRED if name not in found and name not in names]
    if "tier" not in missing:
        return None
    file = read_guessed(path, pick, names, "columns")
    if file is None or any("correct" not in table.columns.data for table in file.tables):
        return None
    level = "columns.tier=" in mapping_hint(["tier"], found)
    return None if len(file.tables) < 2 and (level or file.tables[0].positional) else file


def _rows(file: ImportedFile, text: bool) -> list[dict[str, Any]]:
    """Rows of the answers table; a failed or truncated answer has a status."""
    rows = as_rows(file.tables)
    reasons = [STATUSES.get(str(row.pop("finish_reason", None)), Status.OK.value) for row in rows]
    for row, status in zip(rows, reasons, strict=True):
        if {*reasons} != {Status.OK.value}:
            row["status"] = status
        if "dataset" in row:
            row["dataset"] = row["dataset"] or ONE_DATASET
        for name in TEXT if not text else ():
            row.pop(name, None)
    return rows
