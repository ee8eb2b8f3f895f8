"""The wide form of the answers table: one row per question, small model (SLM) beside large model (LLM).

Of several samples of one (question, tier), the cascade answers with the lowest-numbered one; signals such as vote use
the others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from corea.answers.table import Answers, signal_column
from corea.column_hints import no_confidence
from corea.errors import UserError
from corea.prices import LLM_CALLS, USD
from corea.types import Status

IN_CALLS = "cost is counted in LLM calls, without the unknown cost of the small model"


@dataclass(slots=True, kw_only=True)
class Pairs:
    """N questions, each answered by SLM and LLM, sorted by dataset and question_id."""

    dataset: np.ndarray
    """[N] str."""
    question_id: np.ndarray
    """[N] str."""
    split: np.ndarray
    """[N] str; "" where the table has none."""
    confidence: np.ndarray
    """[N] the signal, NaN missing."""
    status: np.ndarray
    """[N] str, of the SLM's answer; "" where the table has none."""
    slm_correct: np.ndarray
    """[N] bool."""
    llm_correct: np.ndarray
    """[N] bool."""
    slm_cost: np.ndarray
    """[N] cost of the SLM's answer, in `unit`."""
    llm_cost: np.ndarray
    """[N] cost of the LLM's answer, in `unit`."""
    unit: str
    """"usd" or "llm_calls"."""

    def __len__(self) -> int:
        return len(self.confidence)

    def where(self, mask: np.ndarray) -> Pairs:
        """The questions where `mask` [N] is true."""
        names = [f.name for f in fields(self) if f.name != "unit"]
        return replace(self, **{name: getattr(self, name)[mask] for name in names})

    def sha256(self) -> str:
        """Hash of ids, confidences and verdicts."""
        names = "\n".join(map("\0".join, zip(self.dataset, self.question_id, strict=True)))
        digest = hashlib.sha256(names.encode())
        for values in (self.confidence, self.slm_correct, self.llm_correct):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def cost_unit(answers: Answers) -> tuple[str, list[str]]:
    """("usd" or "llm_calls", remarks): dollars require a cost on every answer except errors; no cost is invented."""
    if "cost_usd" not in answers.frame:
        return LLM_CALLS, [f"the table has no cost_usd: {IN_CALLS}"]
    lacking = answers.frame["cost_usd"].isna()
    if "status" in answers.frame:
        lacking &= answers.frame["status"] != Status.ERROR.value
    if lacking.any():
        return LLM_CALLS, [f"{int(lacking.sum())} of {len(lacking)} answers have no cost_usd: {IN_CALLS}"]
    return USD, []


def pair(answers: Answers, signal: str, large: int | None = None, slm: Answers | None = None) -> Pairs:
    """Pair tier 0 with tier `large` (None: the largest of each dataset).

    `slm` is a second table whose tier 0 replaces that of `answers`, e.g. the model before RL. Raises UserError if
    the table has no such signal, or `slm` does not hold the same questions.
    """
    small = slm or answers
    if signal not in small.signals:
        if not small.signals:
            raise UserError(no_confidence(small.path))
        raise UserError(f"{small.path}: cascade.signal={signal}: allowed is {', '.join(small.signals)}")
    unit = LLM_CALLS if LLM_CALLS in (cost_unit(answers)[0], cost_unit(small)[0]) else USD
    frame = _first_samples(answers.frame)
    top = frame.groupby("dataset", observed=True)["tier"].transform("max") if large is None else large
    llm_rows = frame[frame["tier"] == top]
    slm_rows = _first_samples(small.frame)
    slm_rows = slm_rows[slm_rows["tier"] == 0]
    if slm is not None:
        slm_rows = _align(slm_rows, llm_rows, small.path, answers.path)
    return Pairs(
        dataset=_strings(llm_rows, "dataset"),
        question_id=_strings(llm_rows, "question_id"),
        split=_strings(llm_rows, "split"),
        confidence=slm_rows[signal_column(signal)].to_numpy(),
        status=_strings(slm_rows, "status"),
        slm_correct=slm_rows["correct"].to_numpy() == 1,
        llm_correct=llm_rows["correct"].to_numpy() == 1,
        slm_cost=_costs(slm_rows, unit, 0.0, small.frame if signal in small.sampled else None),
        llm_cost=_costs(llm_rows, unit, 1.0),
        unit=unit,
    )


def _first_samples(frame: pd.DataFrame) -> pd.DataFrame:
    """The row with the lowest sample of each (dataset, question, tier); the frame is sorted by that key."""
    tier = frame["tier"].to_numpy()
    question = _question_codes(frame)
    first = np.ones(len(frame), bool)
    first[1:] = (tier[1:] != tier[:-1]) | (question[1:] != question[:-1])
    return frame if first.all() else frame[first]


def _question_codes(frame: pd.DataFrame) -> np.ndarray:
    """[rows] one integer per (dataset, question_id)."""
    ids, names = pd.factorize(frame["question_id"])
    return ids + frame["dataset"].cat.codes.to_numpy().astype(np.int64) * len(names)


def _align(slm: pd.DataFrame, llm: pd.DataFrame, slm_path: str, llm_path: str) -> pd.DataFrame:
    """Rows of `slm` in the order of the questions of `llm`; both must hold the same questions."""
    keys = ["dataset", "question_id"]
    left, right = (pd.MultiIndex.from_frame(part[keys].astype(str)) for part in (llm, slm))
    for path, lacking in ((slm_path, left.difference(right)), (llm_path, right.difference(left))):
        if len(lacking):
            names = ", ".join("/".join(key) for key in lacking[:5]) + (", …" if len(lacking) > 5 else "")
            raise UserError(f"{path}: lacks {len(lacking)} questions of the other table: {names}")
    return slm.iloc[right.get_indexer(left)]


def _strings(frame: pd.DataFrame, column: str) -> np.ndarray:
    """[rows] object array of str; "" where the column is missing or null. Categories share their strings."""
    if column not in frame:
        return np.full(len(frame), "", object)
    values = frame[column]
    if isinstance(values.dtype, pd.CategoricalDtype):
        names = np.array([*values.cat.categories, ""], object)
        return names[values.cat.codes.to_numpy()]
    return values.to_numpy(dtype=object, na_value="")


def _costs(frame: pd.DataFrame, unit: str, call: float, samples: pd.DataFrame | None = None) -> np.ndarray:
    """[rows] cost in `unit`. A failed answer without a cost is free.

    `samples` holds all samples of the questions if all of them must be paid for.
    """
    if unit != USD:
        return np.full(len(frame), call)
    if samples is None:
        return frame["cost_usd"].fillna(0.0).to_numpy()
    keys = ["dataset", "question_id", "tier"]
    total = samples[samples["tier"] == 0].groupby(keys, observed=True, sort=False)["cost_usd"].sum()
    return total.reindex(pd.MultiIndex.from_frame(frame[keys])).to_numpy()


def split_by_hash(pairs: Pairs, fraction: float, seed: int, calibration: str, test: str) -> Pairs:
    """Assign every question to a split by a hash of seed, dataset and question_id; other rows do not matter."""
    cut = int(fraction * 2**64)
    keys = zip(pairs.dataset, pairs.question_id, strict=True)
    chosen = [_hash(f"{seed}\0{dataset}\0{question}") < cut for dataset, question in keys]
    return replace(pairs, split=np.where(chosen, calibration, test).astype(object))


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
