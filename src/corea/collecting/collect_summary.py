"""Summary table of the collected answers."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from corea.logger import Logger
from corea.types import Outcome, Status

HEADINGS = {
    "dataset": "dataset",
    "model": "model",
    "questions": "questions",
    "pass@1": "pass@1",
    "confidence": "confidence",
    "ok": "parsed",
    "tokens": "tokens",
    "cost_usd": "USD/1,000",
}
WORDS = ("dataset", "model")
SHOWN_SPLIT = "test"
LOG_WIDTH = 120


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per (dataset, split, tier, model) in order of appearance.

    Columns: questions; pass@1 (an answer without a verdict is wrong, but questions whose gold cannot be read are left
    out); confidence (mean of the stated ones); ok (share with that status); tokens (mean completion tokens); cost_usd
    (dollars per 1,000 answers). NaN where unknown.
    """
    lacking = {"split", "completion_tokens", "cost_usd", "outcome"} - set(rows.columns)
    frame = rows.reindex(columns=[*rows.columns, *lacking])
    frame = frame[frame["outcome"] != Outcome.UNREADABLE_GOLD.value]
    grouped = frame.groupby(["dataset", "split", "tier", "model"], sort=False, dropna=False)
    table = grouped.agg(
        questions=("question_id", "nunique"),
        correct=("correct", lambda c: c.astype("boolean").fillna(False).mean()),
        confidence=("confidence", lambda c: pd.to_numeric(c).mean()),
        ok=("status", lambda s: (s == Status.OK.value).mean()),
        tokens=("completion_tokens", lambda t: pd.to_numeric(t).mean()),
        cost_usd=("cost_usd", lambda c: pd.to_numeric(c).mean() * 1000),
    )
    return table.rename(columns={"correct": "pass@1"}).reset_index()


def show(table: pd.DataFrame) -> None:
    """Print the summary of the test questions, or of all questions if there are no splits."""
    shown = table[table["split"] == SHOWN_SPLIT] if (table["split"] == SHOWN_SPLIT).any() else table
    printed = Table(box=box.SIMPLE, collapse_padding=True, pad_edge=False)
    names = [name for name in HEADINGS if not shown[name].isna().all()]
    cells = [[_text(name, record[name]) for name in names] for record in shown.to_dict("records")]
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        words = name in WORDS  # a narrow terminal may wrap words and headings, but not numbers
        printed.add_column(
            HEADINGS[name],
            justify="left" if words else "right",
            overflow="fold",
            min_width=None if words else max(map(len, column)),
        )
    for record in cells:
        printed.add_row(*record)
    Console(width=None if sys.stdout.isatty() else LOG_WIDTH).print(printed)


def _text(name: str, value: Any) -> str:
    if pd.isna(value):
        return "-"
    if name == "cost_usd":
        return f"{value:.4f}"
    if name == "tokens":
        return f"{value:.1f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def log_summary(table: pd.DataFrame, logger: Logger) -> None:
    """Log the table, and pass@1, mean confidence and cost as figures of the run."""
    logger.table("collect/summary", table)
    figures = {}
    for record in table.to_dict("records"):
        where = "/".join(str(record[k]) for k in ("dataset", "split", "model") if not pd.isna(record[k]))
        for name in ("pass@1", "confidence", "cost_usd"):
            if not pd.isna(record[name]):
                figures[f"collect/{where}/{name}"] = float(record[name])
    logger.summary(figures)
