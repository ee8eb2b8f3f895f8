"""The answers table: one row per (dataset, question, tier, sample), checked.

Rules that the format does not state:
- the key is (dataset, question_id, tier, sample), so a question in two splits is a duplicate;
- `correct` may be null if there was nothing to grade (status error, truncated, unparsed_answer) and then counts as
  wrong; with any other status, or without a column status, null is an error;
- questions whose gold the grader could not read (outcome unreadable_gold) are left out and counted in a note;
- a missing confidence is null; NaN is an error, since it is the result of a failed computation;
- confidences are rounded to 12 decimals, since many readers and writers change the last digit;
- questions of the split "fit" are set aside: signals are fitted on them, and they need not have every tier;
- an answer that was cut off or failed (status truncated, error) has no confidence: it must not be kept, whatever its
  tokens say.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from corea.answers.fit_part import FITTED
from corea.answers.schema import REQUIRED
from corea.answers.typed_columns import TEXT, typed_frame
from corea.column_hints import mapping_hint
from corea.config.allowed_names import KINDS
from corea.config.answer_columns import ANSWER_COLUMNS
from corea.tabular import Columns, read_columns
from corea.tabular_text import refuse
from corea.types import Outcome, Status

UNFINISHED = (Status.TRUNCATED.value, Status.ERROR.value)
"""Statuses of answers that a cascade never keeps."""


@dataclass(slots=True, kw_only=True)
class Answers:
    """A valid answers table."""

    path: str
    """File that it was read from."""
    frame: pd.DataFrame
    """One row per answer, sorted by dataset (in order of appearance), question_id, tier, sample. Columns: dataset,
    question_id, split (both may be category), tier, sample, model, status, correct (0.0 or 1.0), graded (bool),
    confidence and every confidence_<signal> (NaN missing), cost_usd (NaN missing), token counts, text if asked for."""
    datasets: list[str]
    """In order of appearance."""
    fit: pd.DataFrame | None = None
    """Rows of the split "fit", in the columns of `frame`; None: there are none."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the collector wrote beside the rows: models, revisions, prompt hashes, prices."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the table that every report shows."""
    sampled: tuple[str, ...] = tuple(kind.name for kind in KINDS if kind.sampled)
    """Signals computed from all samples of a question; all samples are then paid for every question."""

    @property
    def signals(self) -> list[str]:
        """Names of the confidence signals: "verbalized" (column `confidence`) and each confidence_<signal>."""
        names = ["verbalized"] if "confidence" in self.frame else []
        return names + [c.removeprefix("confidence_") for c in self.frame if c.startswith("confidence_")]


def signal_column(signal: str) -> str:
    """Column of the answers table that holds `signal`."""
    return "confidence" if signal == "verbalized" else f"confidence_{signal}"


def read_answers(
    path: str | Path,
    text: bool = False,
    tiers: bool = True,
    names: dict[str, str] | None = None,
    confidence_scale: float = 1.0,
) -> Answers:
    """Read and check an answers table.

    `text` also reads the columns text, answer, question and gold; `tiers` requires that every question has every tier
    of its dataset and that there are at least two; `names` maps our columns to the file's; confidences are divided by
    `confidence_scale`.
    Raises UserError that names file, column and rows.
    """
    known = {name for name in ANSWER_COLUMNS if text or name not in TEXT}
    columns = read_columns(path, lambda name: name in known or name.startswith("confidence"), names)
    missing = [name for name in REQUIRED if name not in columns.data]
    if missing:
        hint = mapping_hint(missing, columns.found)
        others = f"; required are {', '.join(REQUIRED)}" if len(missing) < len(REQUIRED) else ""
        wide = (
            " (one row per question is read with tiers=[...])"
            if "tier" in missing and "columns.tier=" not in hint
            else ""
        )
        raise refuse(path, f"required column missing: {', '.join(missing)}{others}{wide}; {hint}")
    return checked_answers(path, columns, typed_frame(columns, confidence_scale), [], tiers)


def checked_answers(
    path: str | Path, columns: Columns, frame: pd.DataFrame, notes: list[str], tiers: bool = True
) -> Answers:
    """The answers table of typed rows: sorted by key, checked, with remarks. Arguments as in `read_answers`."""
    frame, left_out = _with_readable_golds(keyed(columns, frame), columns.path)
    left_out += _drop_unfinished(frame)
    frame, fit = _set_aside(frame, columns.path)
    datasets = list(frame["dataset"].cat.categories)
    answers = Answers(
        path=str(path), frame=frame, datasets=datasets, fit=fit, meta=columns.meta, notes=[*notes, *left_out]
    )
    if tiers:
        _check_tiers(answers)
    ungraded = int((~frame["graded"]).sum())
    if ungraded:
        answers.notes.append(f"{ungraded} answers without a verdict (nothing to grade) count as wrong")
    return answers


def keyed(columns: Columns, frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by key and refuse duplicates. The order of rows in the file does not affect results."""
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


def _with_readable_golds(frame: pd.DataFrame, path: str) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the questions whose gold the grader could not read: their answers cannot be judged."""
    if "outcome" not in frame or not (unreadable := frame["outcome"] == Outcome.UNREADABLE_GOLD.value).any():
        return frame, []
    keys = pd.MultiIndex.from_frame(frame[["dataset", "question_id"]].astype(str))
    gone = keys.isin(keys[unreadable].unique())
    if gone.all():
        raise refuse(path, "the grader could read no gold answer (column outcome: unreadable_gold)")
    kept = frame[~gone].reset_index(drop=True)
    kept["dataset"] = kept["dataset"].cat.remove_unused_categories()
    return kept, [f"{keys[gone].nunique()} questions are left out: the grader cannot read their gold answer"]


def _set_aside(frame: pd.DataFrame, path: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows that thresholds and figures rest on, and those of the split FITTED."""
    if "split" not in frame or not (aside := (frame["split"] == FITTED).to_numpy()).any():
        return frame, None
    if aside.all():
        raise refuse(path, f"column split: all questions are {FITTED}; a cascade is measured on those of another split")
    rest = frame[~aside].reset_index(drop=True)
    rest["dataset"] = rest["dataset"].cat.remove_unused_categories()
    return rest, frame[aside].reset_index(drop=True)


def _drop_unfinished(frame: pd.DataFrame) -> list[str]:
    """Make the confidences of unfinished answers missing, in place; returns a remark where there were any."""
    signals = [name for name in frame if name.startswith("confidence")]
    if "status" not in frame or not signals:
        return []
    unfinished = np.isin(np.asarray(frame["status"].astype(object)), UNFINISHED)
    stated = unfinished & frame[signals].notna().any(axis=1).to_numpy()
    if not stated.any():
        return []
    frame.loc[stated, signals] = np.nan
    return [f"the confidences of {int(stated.sum())} truncated or failed answers are not used: these are deferred"]


def _check_tiers(answers: Answers) -> None:
    """Check that every question of a dataset has every tier, among them tier 0 and a larger one."""
    frame = answers.frame
    for dataset in answers.datasets:
        part = frame[frame["dataset"] == dataset]
        present = sorted(part["tier"].unique())
        if present[0] != 0 or len(present) < 2:
            found = ", ".join(map(str, present))
            needed = "a cascade needs tier 0 (the small model) and at least one larger tier"
            raise refuse(answers.path, f"dataset {dataset}: column tier holds {found}; {needed}")
        question = pd.factorize(part["question_id"])
        for tier in present:
            has = np.zeros(len(question[1]), bool)
            has[question[0][np.asarray(part["tier"] == tier)]] = True
            if not has.all():
                lacking = list(question[1][~has])
                more = ", …" if len(lacking) > 5 else ""
                what = f"{len(lacking)} of {len(has)} questions have no row of tier {tier}"
                raise refuse(answers.path, f"dataset {dataset}: {what}: {', '.join(lacking[:5])}{more}")
