"""Wide tables, the form of most public recordings: one row per question, with columns for each tier.

One raw row (RouterBench):

    sample_id,eval_name,small,large,small|total_cost,large|total_cost
    sums.0,sums,1.0,1.0,0.0001,0.002

`tiers` names the columns of each tier, smallest model first. Columns that belong to the question (question_id, dataset,
split, question, gold) are found by their names or by `columns`. Without a question_id the rows are numbered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow as pa

from corea.answers.table import Answers, checked_answers, keyed
from corea.answers.typed_columns import TEXT, typed_frame
from corea.column_hints import nearest
from corea.config.wide_schema import WideTierConfig
from corea.tabular import Columns, read_columns
from corea.tabular_text import refuse

OF_QUESTION = ("question_id", "dataset", "split", "question", "gold")
"""Columns that all tiers share."""


def read_wide(
    path: str | Path,
    tiers: Sequence[WideTierConfig],
    text: bool = False,
    names: dict[str, str] | None = None,
    confidence_scale: float = 1.0,
) -> Answers:
    """Read a wide table as an answers table.

    `text` also reads the columns text, question and gold; `names` maps the columns of the question to the file's;
    confidences are divided by `confidence_scale`.
    Raises UserError that names file, column and rows.
    """
    found = read_columns(path, lambda name: False).found
    foreign = sorted((names or {}).keys() - set(OF_QUESTION))
    if foreign:
        of_tier = f"columns.{foreign[0]}={(names or {})[foreign[0]]}: belongs to a tier: give it in tiers"
        raise refuse(path, f"{of_tier}; with tiers, columns may name {', '.join(OF_QUESTION)}")
    shared = {ours: theirs for ours, theirs in (names or {}).items() if ours in OF_QUESTION}
    _check(path, shared, found, "columns")
    frames, notes = [], []
    for number, tier in enumerate(tiers):
        columns = _columns(path, number, tier, shared, found, text)
        frame = keyed(columns, typed_frame(columns, confidence_scale))
        frames.append(frame.assign(model=tier.name))
    if "question_id" not in shared and "question_id" not in found:
        guess = nearest("question_id", found)
        hint = f", e.g. columns.question_id={guess}" if guess else ""
        notes.append(f"the table has no column question_id: its rows are numbered; columns.question_id names one{hint}")
    whole = pd.concat(frames, ignore_index=True)
    return checked_answers(path, columns, whole.assign(model=whole["model"].astype("category")), notes)


def _columns(
    path: str | Path, number: int, tier: WideTierConfig, shared: dict[str, str], found: list[str], text: bool
) -> Columns:
    """The answers of one tier, in the columns of an answers table."""
    mine = {f.name: getattr(tier, f.name) for f in fields(tier) if f.name != "name" and getattr(tier, f.name)}
    price = _number(mine["cost_usd"]) if mine.get("cost_usd") not in (None, *found) else None
    if price is not None:
        del mine["cost_usd"]
    key = f"tiers.{number}"
    _check(path, mine, found, key)
    own = {**shared, **mine}
    columns = read_columns(
        path,
        lambda name: (name in own or name in OF_QUESTION) and (text or name not in TEXT),
        own,
        key,
    )
    rows = len(columns)
    columns.data.setdefault("question_id", pa.array([str(i + 1) for i in range(rows)]))
    columns.data.setdefault("confidence", pa.nulls(rows, pa.float64()))
    columns.data["tier"] = pa.array([number] * rows)
    if price is not None:
        columns.data["cost_usd"] = pa.array([price] * rows)
    return columns


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check(path: str | Path, names: dict[str, str], found: list[str], key: str) -> None:
    """Refuse a name that is not a column of the file and suggest the closest; nested parts are checked later."""
    for ours, theirs in names.items():
        if theirs not in found and theirs.split(".")[0] not in found:
            close = nearest(theirs, found)
            hint = f"; perhaps {close}" if close else ""
            raise refuse(path, f"{key}.{ours}={theirs}: no such column{hint}; the file has {', '.join(found)}")
