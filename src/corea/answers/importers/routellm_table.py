"""RouteLLM's recorded responses: a CSV file with `prompt`, a column of verdicts per model, perhaps MODEL_response."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import plain_text, verdict
from corea.tabular import read_rows

TOOL = "RouteLLM table"
RESPONSE = "_response"


def detect(source: Source) -> bool:
    """`prompt` first, at least two models, and nothing but verdicts in their columns."""
    names = _models(source.columns)
    if source.columns[:1] != ["prompt"] or len(names) < 2:
        return False
    return all(verdict(row.get(name)) is not None for row in source.rows for name in names)


def read(source: Source, pick: str | None) -> Imported:
    """Rows are numbered: a prompt may occur twice."""
    names = _models(source.columns)
    records = read_rows(source.path)
    rows = [_row(record, n, name) for name in names for n, record in enumerate(records)]
    taken = {"question_id": "the row's number", "question": "prompt", "correct": "the column of each model"}
    if any(f"{name}{RESPONSE}" in source.columns for name in names):
        taken["text"] = f"MODEL{RESPONSE}"
    return Imported(tool=TOOL, rows=rows, raw=records * len(names), taken=taken, positional=True)


def _models(columns: list[str]) -> list[str]:
    return [name for name in columns[1:] if not name.endswith(RESPONSE)]


def _row(record: dict[str, Any], n: int, name: str) -> dict[str, Any]:
    return {
        "question_id": str(n),
        "model": name,
        "question": plain_text(record["prompt"]),
        "text": plain_text(record.get(f"{name}{RESPONSE}")),
        "correct": verdict(record[name]),
    }
