"""A served log as an answers table: a random sample of the served questions, each with an answer of SLM and LLM.

Of the deferred questions all have an LLM answer, of the kept ones only those that were shadowed, each with a recorded
probability. Rules, exact tests and bootstrap need questions that all count alike, so none is weighted: of the deferred
questions as small a share is taken, by a hash of seed and request id. Then every served question is in the table with
the same probability t, and what holds for a random sample of the traffic holds for the table.

t is computed for each minute, since that is how bounds on shadowing work (serving/shadowing.py). With p the probability
of shadowing, o the share of kept questions that had one above 0, and q the share of deferred questions with a usable
LLM answer (a budget or a failure leaves some without): t = min(p, p * o, q). A shadowed question is taken with
probability t / (p * o), a deferred one with t / q. This is unbiased if the questions of one minute are exchangeable;
minutes in which a bound was reached count less, and hold no kept question without its share of deferred ones. A minute
without kept (deferred) questions has the o (q) of the minute before.

Verdicts come from feedback. Without, the LLM counts as right, and the SLM where its answer agrees.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from corea.answers.served_format import read_feedback, read_points, read_requests
from corea.answers.table import UNFINISHED, Answers, checked_answers
from corea.answers.typed_columns import typed_frame
from corea.tabular import Columns
from corea.tabular_text import refuse
from corea.types import Status

SERVED = "served"
"""Key of `Answers.meta`: what is known of the running cascade."""
KEPT, UNCALIBRATED = "kept", "uncalibrated"
USABLE = (Status.OK.value, Status.UNPARSED_CONFIDENCE.value)
"""Statuses of an LLM answer that the SLM's can be compared with."""
WRONG = (*UNFINISHED, Status.UNPARSED_ANSWER.value)
"""Statuses of an SLM answer that is wrong without a comparison."""
LENGTH = "length"
"""A signal of the log that is no confidence: the number of new tokens."""
WINDOW_S = 60.0
COPIED = ("models", "prompts", "prices")
"""Parts of the running operating point that hold for the proposed one."""


def read_served(path: str | Path, seed: int = 0) -> Answers:
    """Read a served log; `seed` chooses the deferred questions that are taken.

    Raises UserError where the log holds nothing to evaluate.
    """
    requests, notes = _of_running_point(path, read_requests(path))
    table = _decisions(requests)
    if not len(table):
        raise refuse(path, "the served log holds no question that the cascade decided")
    kept = table["kept"]
    if kept.any() and not (table["shadow"] & table["usable"] & (table["probability"] > 0)).any():
        why = "only deferred ones have an answer of the last tier; serve.shadow_share=0.05 also sends kept ones to it"
        raise refuse(path, f"none of the {int(kept.sum()):,} kept questions of the served log was shadowed: {why}")
    taken = taken_share(table) > _uniform(table["request_id"], seed)
    notes += _about_sample(table, taken, len(requests))
    rows, known = _answers([requests[i] for i in table["row"][taken]], read_feedback(path))
    notes.append(_about_verdicts(known, int(taken.sum())))
    columns = Columns(path=str(path), data=_arrays(rows), rows=len(rows), meta=_meta(path, requests, table[taken]))
    return checked_answers(path, columns, typed_frame(columns), notes)


def _of_running_point(path: str | Path, requests: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The requests that the newest operating point decided, and a remark where there are others."""
    if not requests:
        raise refuse(path, "the served log is empty")
    running = requests[-1].get("operating_point")
    own = [row for row in requests if row.get("operating_point") == running]
    others = len(requests) - len(own)
    return own, [f"{others:,} requests of earlier operating points are left out"] if others else []


def _decisions(requests: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per request that the first tier decided: its group, its minute, and whether an LLM answer is usable."""
    last = max((t["tier"] for row in requests for t in row["tiers"]), default=0)
    rows = []
    for number, row in enumerate(requests):
        tiers = row["tiers"]
        undecided = row["reason"] == KEPT and row["tier"] is None
        if not tiers or undecided or row["reason"] == UNCALIBRATED or tiers[0]["tier"] == last:
            continue
        llm = tiers[-1]
        usable = llm["tier"] == last and llm["status"] in USABLE
        usable = usable and (row["agrees"] is not None or tiers[0]["status"] in WRONG)
        rows.append(
            {
                "row": number,
                "request_id": row["request_id"],
                "dataset": row["dataset"],
                "window": int(row["time_s"] // WINDOW_S),
                "kept": row["reason"] == KEPT,
                "shadow": bool(row["shadow"]),
                "probability": float(row["shadow_probability"] or 0.0) if row["reason"] == KEPT else np.nan,
                "usable": usable,
            }
        )
    return pd.DataFrame(rows)


def taken_share(table: pd.DataFrame) -> np.ndarray:
    """[N] probability with which each decided question is taken into the answers table, 0 without an LLM answer.

    `table`: dataset, window, kept, shadow, probability (of shadowing; NaN if deferred), usable.
    """
    kept, offered = table["kept"], table["probability"] > 0
    window = [table["dataset"], table["window"]]

    def share(part: pd.Series, of: pd.Series) -> np.ndarray:
        """[N] share of `part` among the questions `of` of a window, or of the last window before that has any."""
        counts = pd.DataFrame({"part": part & of, "of": of}).groupby(window).sum()
        found = (counts["part"] / counts["of"].where(counts["of"] > 0)).groupby(level=0)
        filled = found.ffill().groupby(level=0).bfill().fillna(1.0)
        return filled.reindex(pd.MultiIndex.from_arrays(window)).to_numpy(np.float64)

    least = table["probability"].where(offered)
    everywhere = 1.0 if np.isnan(least.min()) else float(least.min())
    in_window = least.groupby(window).transform("min").fillna(everywhere).to_numpy()
    open_share, answered = share(offered, kept), share(table["usable"], ~kept)
    target = np.minimum(np.minimum(everywhere, in_window * open_share), answered)
    probability = np.where(kept, table["probability"].fillna(0.0) * open_share, answered)
    has_answer = np.where(kept, table["shadow"] & table["usable"] & offered, table["usable"])
    return np.divide(target, probability, out=np.zeros(len(table)), where=has_answer & (probability > 0))


def _uniform(names: pd.Series, seed: int) -> np.ndarray:
    """[N] a number in [0, 1) for each request id."""
    salted = (f"corea served sample\0{seed}\0{name}".encode("utf-8", "replace") for name in names)
    return np.array([int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") / 2**48 for text in salted])


def _answers(
    requests: list[dict[str, Any]], feedback: dict[str, dict[int | None, bool]]
) -> tuple[list[dict[str, Any]], int]:
    """Rows of SLM and LLM of each request, and for how many there is feedback."""
    rows, known = [], 0
    for request in requests:
        verdicts: dict[int | None, bool | None] = {**feedback.get(request["request_id"], {})}
        verdicts.setdefault(request["tier"], verdicts.get(None))
        small, large = request["tiers"][0], request["tiers"][-1]
        given = verdicts.get(small["tier"]), verdicts.get(large["tier"])
        known += given != (None, None)
        key = {"dataset": request["dataset"], "question_id": request["request_id"]}
        for tier, correct in zip((small, large), judged(*given, bool(request["agrees"])), strict=True):
            rows.append({**key, **_row(tier), "correct": correct})
    return rows, known


def judged(small: bool | None, large: bool | None, agrees: bool) -> tuple[bool, bool]:
    """Whether SLM and LLM are right, from feedback on either (None: no feedback) and whether their answers agree.

    What feedback and agreement leave open: the LLM counts as right; where the LLM is wrong, a different answer of the
    SLM counts as wrong.
    """
    if large is None:
        large = True if small is None else (small if agrees else not small)
    if small is None:
        small = large and agrees
    return small, large


def _row(tier: dict[str, Any]) -> dict[str, Any]:
    names = ("tier", "model", "status", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd", "latency_s")
    signals = {name: value for name, value in tier["signals"].items() if name != LENGTH}
    columns = {"confidence" if name == "verbalized" else f"confidence_{name}": v for name, v in signals.items()}
    return {name: tier[name] for name in names} | columns


def _arrays(rows: list[dict[str, Any]]) -> dict[str, pa.Array]:
    """Columns of the rows. A column without any value is left out, but a confidence stays."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return {
        name: pa.array(values, pa.float64() if name.startswith("confidence") else None)
        for name, values in columns.items()
        if name.startswith("confidence") or any(v is not None for v in values)
    }


def _meta(path: str | Path, requests: list[dict[str, Any]], taken: pd.DataFrame) -> dict[str, Any]:
    """Models, prompts and prices of the running operating point, and what the proposed one is compared with."""
    running = str(requests[-1]["operating_point"])
    document = read_points(path).get(running)
    names = taken["request_id"].tolist()
    passed = frozenset(taken["request_id"][~taken["kept"]])
    digest = hashlib.sha256("\n".join([running, *names]).encode("utf-8", "replace")).hexdigest()
    served = {"point": running, "document": document, "deferred": passed, "sha256": digest}
    return {SERVED: served} | {name: document[name] for name in COPIED if document and document.get(name)}


def _about_sample(table: pd.DataFrame, taken: np.ndarray, requests: int) -> list[str]:
    kept, offered = table["kept"], table["probability"] > 0
    shares = sorted(set(table["probability"][offered]))
    deferred = int((taken & ~kept).sum())
    words = f"with probability {shares[0]:g}" if shares else "all"
    notes = [
        f"served log: {int(taken.sum()):,} of {requests:,} requests: {int((taken & kept).sum()):,} shadowed ones of "
        f"{int(kept.sum()):,} kept, and {deferred:,} of {int((~kept).sum()):,} deferred, taken {words} as the kept "
        "ones were, so that all count alike"
    ]
    closed = int((kept & ~offered).sum())
    if closed:
        notes.append(
            f"{closed:,} kept questions had no chance to be shadowed (a bound was reached): the minutes in which "
            "that happened count less"
        )
    lacking = int((~kept & ~table["usable"]).sum() + (kept & table["shadow"] & ~table["usable"]).sum())
    if lacking:
        notes.append(f"{lacking:,} questions without a usable answer of the LLM (failed, cut off, budget) are left out")
    if len(table) < requests:
        notes.append(f"{requests - len(table):,} requests are left out: the small model did not decide them")
    return notes


def _about_verdicts(known: int, questions: int) -> str:
    proxy = (
        "the LLM's answer stands in for the right one: the LLM counts as right, the SLM where it agrees with the LLM"
    )
    if not known:
        return f"verdicts: no feedback; {proxy}, so pass@1 is agreement with the LLM"
    if known == questions:
        return "verdicts: feedback on every question, and agreement of the two answers"
    some = f"feedback on {known:,} of {questions:,} questions (those that users chose to judge)"
    return f"verdicts: {some}; on the others {proxy}"
