"""RouterBench as a CSV file: one row per question, columns MODEL, MODEL|model_response and MODEL|total_cost.

A pickle, the form in which it is published, is not read: loading one runs code.
"""

from __future__ import annotations

import ast
from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import number, plain_text, verdict
from corea.tabular import read_rows

TOOL = "RouterBench table"
COST, RESPONSE = "|total_cost", "|model_response"


def detect(source: Source) -> bool:
    return bool(_models(source.columns)) and "sample_id" in source.columns


def read(source: Source, pick: str | None) -> Imported:
    """Questions on which a score is neither 0 nor 1 are left out."""
    names = _models(source.columns)
    records = read_rows(source.path)
    kept = [r for r in records if all(verdict(r[name]) is not None for name in names)]
    rows = [_row(record, name) for name in names for record in kept]
    left = len(records) - len(kept)
    notes = [f"{left} questions with a score that is neither 0 nor 1 are left out"] if left else []
    taken = {"question_id": "sample_id", "dataset": "eval_name", "correct": "MODEL", "text": f"MODEL{RESPONSE}"}
    return Imported(
        tool=TOOL, rows=rows, raw=kept * len(names), taken=taken | {"cost_usd": f"MODEL{COST}"}, notes=notes
    )


def _models(columns: list[str]) -> list[str]:
    return [name for name in columns if f"{name}{COST}" in columns]


def _row(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {
        "question_id": str(record["sample_id"]),
        "dataset": plain_text(record.get("eval_name")),
        "model": name,
        "question": plain_text(record.get("prompt")),
        "text": _unlisted(record.get(f"{name}{RESPONSE}") or ""),
        "correct": verdict(record[name]),
        "cost_usd": number(record.get(f"{name}{COST}")),
    }


def _unlisted(text: str) -> str:
    """The text inside "['…']", the form in which a list of one text is written into a cell."""
    inner = text.strip()
    if inner[:2] not in ("['", '["') or inner[-2:] not in ("']", '"]'):
        return text
    if "\\\\" in inner:  # backslashes are escaped
        try:
            found = ast.literal_eval(inner)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        if isinstance(found, list) and found and isinstance(found[0], str):
            return found[0]
    return inner[2:-2]
