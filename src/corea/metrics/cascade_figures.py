"""Figures of a cascade at one threshold, and of its whole curve, including those that other papers report.

Legend as in cascade_curve.py.

APGR  RouteLLM, arXiv 2406.18665: mean over the share of LLM calls of the performance gap recovered,
      (accuracy - SLM's) / (LLM's - SLM's), linear between thresholds.
CPT   RouteLLM: least share of LLM calls that recovers 50 % or 80 % of the gap.
AIQ   RouterBench, arXiv 2403.12031: mean accuracy over cost of the non-decreasing concave hull of all thresholds, from
      nothing to everything deferred.
IBC   AutoMix, arXiv 2310.12963: accuracy gained per cost by the cascade, relative to the LLM alone; 0.5 means 50 %
      more.
"""

from __future__ import annotations

import numpy as np

from corea.metrics.cascade_curve import Curve
from corea.metrics.levels import LLM_ONLY, SLM_ONLY, Tally

MOST = 129
"""Depths that AIQ uses in a bootstrap resample; the value itself uses all."""


def point_figures(here: Curve) -> dict[str, np.ndarray]:
    """Figures [...] of the cascade at one depth.

    accuracy, cost, deferral_rate, selective_accuracy; accuracy_change and cost_change against the LLM alone (the latter
    relative: -0.25 is a quarter saved); llm_spend, the part of the LLM's bill that remains; break_even_ratio: the
    cascade pays where an LLM answer costs more SLM answers than this; ibc_lift. NaN where the LLM costs nothing.
    """
    llm_cost = np.asarray(here.llm_cost, np.float64)
    relative = np.divide(here.cost, llm_cost, out=np.full(llm_cost.shape, np.nan), where=llm_cost > 0)
    deferred = here.cost - here.slm_cost
    spend = np.divide(deferred, llm_cost, out=np.full(llm_cost.shape, np.nan), where=llm_cost > 0)
    return {
        "accuracy": here.accuracy,
        "cost": here.cost,
        "deferral_rate": here.deferral_rate,
        "selective_accuracy": here.selective_accuracy,
        "accuracy_change": here.accuracy - here.llm_accuracy,
        "cost_change": relative - 1,
        "llm_spend": spend,
        "break_even_ratio": np.divide(1, 1 - spend, out=np.full(spend.shape, np.nan), where=spend < 1 - 1e-12),
        "ibc_lift": ibc_lift(here),
    }


def curve_figures(tally: Tally, line: Curve) -> dict[str, np.ndarray]:
    """Figures [...] of the whole curve `line` of `tally`: areas and what other papers report."""
    return {**areas(tally, line), **peer_figures(line)}


def areas(tally: Tally, line: Curve) -> dict[str, np.ndarray]:
    """Areas under accuracy over deferral rate, [...] each; `line` is the curve of `tally`.

    "area": this cascade, linear between thresholds (ties deferred at random); "area_random": random deferral;
    "area_oracle": deferral that knows both verdicts; "area_gain": 0 is random, 1 is the oracle.
    """
    step = np.diff(line.deferral_rate, axis=-1)
    area = (step * (line.accuracy[..., 1:] + line.accuracy[..., :-1]) / 2).sum(-1)
    random = (line.slm_accuracy + line.llm_accuracy) / 2
    total = tally.count.sum((-1, -2))
    gain, loss = (tally.count[..., kind].sum(-1) / total for kind in (LLM_ONLY, SLM_ONLY))
    oracle = line.slm_accuracy + gain - gain**2 / 2 - loss**2 / 2
    room = oracle - random
    share = np.divide(area - random, room, out=np.full(np.shape(room), np.nan), where=room > 0)
    return {"area": area, "area_random": random, "area_oracle": oracle, "area_gain": share}


def peer_figures(line: Curve) -> dict[str, np.ndarray]:
    """{"apgr", "cpt_50", "cpt_80", "aiq"}, [...] each; NaN if both models are equally accurate."""
    gap = (line.llm_accuracy - line.slm_accuracy)[..., None]
    share = line.accuracy - line.slm_accuracy[..., None]
    recovered = np.divide(share, gap, out=np.full(line.accuracy.shape, np.nan), where=gap != 0)
    step = np.diff(line.deferral_rate, axis=-1)
    depths = np.unique(np.linspace(0, line.cost.shape[-1] - 1, MOST).astype(int)) if line.cost.ndim > 1 else slice(None)
    return {
        "apgr": (step * (recovered[..., 1:] + recovered[..., :-1]) / 2).sum(-1),
        "cpt_50": first_reach(line.deferral_rate, recovered, 0.5),
        "cpt_80": first_reach(line.deferral_rate, recovered, 0.8),
        "aiq": hull_mean(line.cost[..., depths], line.accuracy[..., depths]),
    }


def first_reach(x: np.ndarray, y: np.ndarray, level: float) -> np.ndarray:
    """[...] least x at which the line through (x, y) [..., D] reaches `level`; NaN if it never does."""
    enough = y >= level - 1e-12
    first = enough.argmax(-1)[..., None]
    before = np.maximum(first - 1, 0)
    x0, x1, y0, y1 = (np.take_along_axis(a, i, -1)[..., 0] for a in (x, y) for i in (before, first))
    part = np.divide(level - y0, y1 - y0, out=np.ones(x0.shape), where=y1 != y0)
    return np.where(enough.any(-1), x0 + np.clip(part, 0, 1) * (x1 - x0), np.nan)


def hull_mean(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """[...] mean height of the non-decreasing concave hull over `cost` [..., D] ascending; NaN without width."""
    flat_cost, flat = cost.reshape(-1, cost.shape[-1]), accuracy.reshape(-1, accuracy.shape[-1])
    rows, last = np.arange(len(flat)), flat.shape[-1] - 1
    # only the most accurate of the thresholds at the lowest cost is on the hull
    at = np.where(flat_cost == flat_cost[:, :1], flat, -np.inf).argmax(-1)
    area = np.zeros(len(flat))
    while (at < last).any():
        run, rise = flat_cost - flat_cost[rows, at][:, None], flat - flat[rows, at][:, None]
        slope = np.divide(rise, run, out=np.full(flat.shape, -np.inf), where=run > 0)
        steepest = slope.max(-1)
        climbs = steepest > 0
        furthest = last - (slope >= steepest[:, None])[:, ::-1].argmax(-1)
        to = np.where(climbs, furthest, last)  # beyond the most accurate point the hull is flat
        height = np.where(climbs, (flat[rows, at] + flat[rows, to]) / 2, flat[rows, at])
        area += (flat_cost[rows, to] - flat_cost[rows, at]) * height
        at = to
    width = flat_cost[:, -1] - flat_cost[:, 0]
    mean = np.divide(area, width, out=np.full(len(flat), np.nan), where=width > 0)
    return mean.reshape(cost.shape[:-1])


def ibc_lift(here: Curve) -> np.ndarray:
    """[...] AutoMix's incremental benefit per cost of the cascade `here` (one depth), relative to the LLM alone."""
    gain, paid = here.accuracy - here.slm_accuracy, here.cost - here.slm_cost
    most, whole = here.llm_accuracy - here.slm_accuracy, here.llm_cost - here.slm_cost
    above, below = np.asarray(gain * whole, np.float64), np.asarray(paid * most, np.float64)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=(below != 0) & (whole > 0)) - 1
