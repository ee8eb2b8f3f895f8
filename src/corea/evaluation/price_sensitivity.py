"""Cost of a cascade at other prices, without running a model.

Per question, the LLM alone costs l; the cascade costs s (the SLM, on every question) plus D (the LLM, on deferred
questions). Relative to the LLM alone that is s / l + D / l. D / l, the remaining part of the LLM's bill ("llm_spend"),
does not depend on prices, so the result depends only on the price ratio l / s.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from corea.answers.table import Answers
from corea.config.price_schema import PriceConfig
from corea.errors import UserError
from corea.evaluation.dataset import Evaluation
from corea.evaluation.points import Point
from corea.prices import USD, cost_usd
from corea.types import RETRIES

RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)


def price_ratio(e: Evaluation) -> float:
    """Cost of an LLM answer in SLM answers; NaN if either is unknown or free."""
    slm, llm = e.small.figures["cost"].value, e.large["cost"].value
    return llm / slm if e.unit == USD and slm > 0 else float("nan")


def sensitivity(e: Evaluation, point: Point) -> pd.DataFrame:
    """One row per price ratio: ratio, cost_change against the LLM alone with low and high, here (this table's)."""
    if not point.figures:
        return pd.DataFrame(columns=["ratio", "cost_change", "low", "high", "here"])
    here = price_ratio(e)
    ratios = np.unique([*RATIOS, *([here] if np.isfinite(here) else [])])
    spend = point.figures["llm_spend"]
    return pd.DataFrame(
        {
            "ratio": ratios,
            "cost_change": 1 / ratios + spend.value - 1,
            "low": 1 / ratios + spend.low - 1,
            "high": 1 / ratios + spend.high - 1,
            "here": ratios == here,
        }
    )


def sentence(e: Evaluation, point: Point) -> str:
    """Sentence on the price ratio from which the cascade pays; empty without a threshold."""
    if not point.figures:
        return ""
    even = point.figures["break_even_ratio"].value
    if not np.isfinite(even):
        return "This cascade saves no LLM cost, so it does not cost less than the LLM alone at any price."
    text = f"This cascade pays where an LLM answer costs more than {even:.3g} times an answer of the small model"
    ratio = price_ratio(e)
    return f"{text}; in this table it costs {ratio:.3g} times as much." if np.isfinite(ratio) else f"{text}."


def priced(answers: Answers, prices: list[PriceConfig]) -> Answers:
    """The table with costs of the recorded tokens, retries included, at other prices, one per tier.

    Raises UserError if a tier or a token count is missing.
    """
    if not prices:
        return answers
    frame = answers.frame.copy()
    lacking = [c for c in ("prompt_tokens", "completion_tokens") if c not in frame]
    if lacking:
        raise UserError(f"{answers.path}: cascade.prices needs the column {', '.join(lacking)}")
    tiers = sorted(frame["tier"].unique())
    if len(prices) <= max(tiers):
        raise UserError(f"cascade.prices: {len(prices)} given, one for each of the tiers 0 to {max(tiers)} is needed")
    cached = frame["cached_tokens"].fillna(0) if "cached_tokens" in frame else pd.Series(0.0, frame.index)
    extra_prompt, extra_completion = (frame[c].fillna(0) if c in frame else 0.0 for c in RETRIES)
    prompt, completion = frame["prompt_tokens"] + extra_prompt, frame["completion_tokens"] + extra_completion
    costs = pd.Series(np.nan, frame.index)
    for tier in tiers:
        rows = frame["tier"] == tier
        part = cost_usd(prices[tier], prompt[rows], cached[rows], completion[rows])
        costs[rows] = np.nan if part is None else part
    frame["cost_usd"] = costs
    meta = {**answers.meta, "prices": {str(t): vars(prices[t]) for t in tiers}}
    note = "costs are those of cascade.prices, not the recorded ones"
    return Answers(path=answers.path, frame=frame, datasets=answers.datasets, meta=meta, notes=[*answers.notes, note])
