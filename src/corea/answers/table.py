"""The answers table: one row per (dataset, question, tier, sample), checked (DESIGN section 4).

Decisions that the format leaves open:
- the key is (dataset, question_id, tier, sample), so a question that stands in two splits is a duplicate;
- `correct` may be null where there was nothing to grade (status error, truncated, unparsed_answer) and then counts as
  wrong; null beside any other status, or in a table without status, is an error;
- a missing confidence is null; NaN is an error, since it is what a failed computation leaves behind;
- confidences are rounded to 12 decimals, since many readers and writers of tables change the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from corea.answers.schema import REQUIRED
from corea.answers.typed_columns import floats, integers, one_of, texts, verdicts
from corea.config.answer_columns import ANSWER_COLUMNS
from corea.errors import UserError
from corea.tabular import Columns, read_columns
from corea.types import RETRIES, Status

TEXT = ("text", "answer", "question", "gold")
"""Columns that only an audit reads."""
TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", *RETRIES)
UNGRADED = (Status.ERROR, Status.TRUNCATED, Status.UNPARSED_ANSWER)
"""Statuses with which a null verdict counts as wrong."""
DIGITS = 12
"""Decimals of a confidence that are kept, so that a 0.7 that came out of some JSON reader or sum as 0.7000000000000001
is the 0.7 that was stated."""
ONE_DATASET = "all"
"""Name of the dataset where the table has no such column."""


@dataclass(slots=True, kw_only=True)
class Answers:
    """A valid answers table."""

    path: str
    """File that it was read from."""
    frame: pd.DataFrame
    """One row an answer, sorted by dataset (in order of appearance), question_id, tier, sample. Columns: dataset,
    question_id, split (both may be category), tier, sample, model, status, correct (0.0 or 1.0), graded (bool),
    confidence and every confidence_<signal> (NaN missing), cost_usd (NaN missing), token counts, text if asked for."""
    datasets: list[str]
    """In order of appearance."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the collector wrote beside the rows: models, revisions, prompt hashes, prices."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the table that belong into every report."""

    @property
    def signals(self) -> list[str]:
        """Names of the confidence signals: "verbalized" (column `confidence`) and each confidence_<signal>."""
        names = ["verbalized"] if "confidence" in self.frame else []
        return names + [c.removeprefix("confidence_") for c in self.frame if c.startswith("confidence_")]


def signal_column(signal: str) -> str:
    """Column of the answers table that holds `signal`."""
    return "confidence" if signal == "verbalized" else f"confidence_{signal}"


def read_answers(
    path: str | Path, text: bool = False, tiers: bool = True, names: dict[str, str] | None = None
) -> Answers:
    """Read and check an answers table.

    `text` also reads the columns text, answer, question and gold; `tiers` demands that every question has every tier of
    its dataset and that there are at least two; `names` maps our columns to the file's.
    Raises UserError that names file, column and rows.
    """
    known = {name for name in ANSWER_COLUMNS if text or name not in TEXT}
    columns = read_columns(path, lambda name: name in known or name.startswith("confidence"), names)
    missing = [name for name in REQUIRED if name not in columns.data]
    if missing:
        raise UserError(
            f"{path}: required column missing: {', '.join(missing)}; required are {', '.join(REQUIRED)}; if the file "
            f"calls it otherwise, give columns={{{missing[0]}:NAME}}"
        )
    frame = _typed(columns, text)
    frame = _keyed(columns, frame)
    answers = Answers(path=str(path), frame=frame, datasets=list(frame["dataset"].cat.categories), meta=columns.meta)
    if tiers:
        _check_tiers(answers)
    ungraded = int((~frame["graded"]).sum())
    if ungraded:
        answers.notes.append(f"{ungraded} answers without a verdict (nothing to grade) count as wrong")
    return answers


def _typed(columns: Columns, text: bool) -> pd.DataFrame:
    """Every column checked on its own; rows in the order of the file."""
    data, rows = columns.data, len(columns)
    frame: dict[str, Any] = {"question_id": texts(columns, "question_id", required=True)}
    frame["tier"] = integers(columns, "tier")
    frame["sample"] = integers(columns, "sample", missing=0) if "sample" in data else np.zeros(rows, np.int64)
    for name in ("dataset", "split", "model"):
        if name in data:
            frame[name] = _category(texts(columns, name, required=name == "dataset"))
    if "dataset" not in data:
        frame["dataset"] = pd.Categorical.from_codes(np.zeros(rows, np.int8), [ONE_DATASET])
    if "status" in data:
        frame["status"] = _category(one_of(columns, "status", [s.value for s in Status]))
    correct = verdicts(columns, "correct")
    frame["graded"] = ~np.isnan(correct)
    _check_graded(columns, frame)
    frame["correct"] = np.nan_to_num(correct)
    for name in data:
        if name.startswith("confidence"):
            frame[name] = _confidence(columns, name)
    for name in ("cost_usd", "latency_s", *TOKENS):
        if name in data:
            frame[name] = _amount(columns, name)
    if text:
        frame |= {name: texts(columns, name) for name in TEXT if name in data}
    return pd.DataFrame({k: _series(v) for k, v in frame.items()})


def _series(values: Any) -> Any:
    return pd.Series(pd.arrays.ArrowStringArray(pa.chunked_array([values]))) if isinstance(values, pa.Array) else values


def _category(array: pa.Array) -> pd.Categorical:
    """Categories in order of appearance; null stays missing."""
    encoded = pc.dictionary_encode(array)
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return pd.Categorical.from_codes(codes, encoded.dictionary.to_pylist())


def _check_graded(columns: Columns, frame: dict[str, Any]) -> None:
    """A null verdict needs a status that says why."""
    excused = np.zeros(len(columns), bool)
    if "status" in frame:
        excused = np.isin(np.asarray(frame["status"].astype(object)), [s.value for s in UNGRADED])
    bad = ~frame["graded"] & ~excused
    if bad.any():
        allowed = ", ".join(UNGRADED)
        raise columns.fail("correct", bad, f"not graded; null is allowed with status {allowed}")


def _confidence(columns: Columns, name: str) -> np.ndarray:
    values = floats(columns, name)
    bad = (values < 0) | (values > 1)
    if bad.any():
        raise columns.fail(name, bad, "outside [0, 1]")
    return np.round(values, DIGITS) + 0.0  # -0.0 becomes 0.0


def _amount(columns: Columns, name: str) -> np.ndarray:
    values = floats(columns, name)
    bad = (values < 0) | np.isinf(values)
    if bad.any():
        raise columns.fail(name, bad, "allowed is a finite number >= 0")
    return values


def _keyed(columns: Columns, frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by key and refuse duplicates. The order of the file's rows has no influence on any result."""
    ids, names = pd.factorize(frame["question_id"])
    rank = np.empty(len(names), np.int64)
    rank[pc.sort_indices(pa.array(names, pa.string())).to_numpy()] = np.arange(len(names))
    order = np.lexsort((frame["sample"], frame["tier"], rank[ids], frame["dataset"].cat.codes))
    same = np.ones(len(frame) - 1, bool)
    for key in (frame["sample"], frame["tier"], ids, frame["dataset"].cat.codes):
        key = np.asarray(key)[order]
        same &= key[1:] == key[:-1]
    if same.any():
        repeated = np.zeros(len(frame), bool)
        repeated[order[1:][same]] = True
        raise columns.fail("question_id", repeated, "duplicate key (dataset, question_id, tier, sample)")
    return frame.iloc[order].reset_index(drop=True)


def _check_tiers(answers: Answers) -> None:
    """Every question of a dataset has every tier; tier 0 and a larger one are there."""
    frame = answers.frame
    for dataset in answers.datasets:
        part = frame[frame["dataset"] == dataset]
        present = sorted(part["tier"].unique())
        if present[0] != 0 or len(present) < 2:
            found = ", ".join(map(str, present))
            raise UserError(
                f"{answers.path}: dataset {dataset}: column tier holds {found}; "
                "a cascade needs tier 0 (the small model) and at least one larger tier"
            )
        question = pd.factorize(part["question_id"])
        for tier in present:
            has = np.zeros(len(question[1]), bool)
            has[question[0][np.asarray(part["tier"] == tier)]] = True
            if not has.all():
                lacking = list(question[1][~has])
                more = ", …" if len(lacking) > 5 else ""
                raise UserError(
                    f"{answers.path}: dataset {dataset}: {len(lacking)} of {len(has)} questions have no row of tier "
                    f"{tier}: {', '.join(lacking[:5])}{more}"
                )
