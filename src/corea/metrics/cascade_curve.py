"""Accuracy, cost and deferral rate of a cascade at every depth; Pareto frontier; oracle.

A question is deferred when its confidence is below the threshold. A missing confidence is always deferred. The SLM is
paid on every question.
Legend: N questions, K levels, M thresholds, R resamples, D = K + 1 depths: depth d defers the d lowest levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from corea.metrics.levels import LLM_ONLY, SLM_ONLY, Levels, Tally

OF_DEPTH = ("deferral_rate", "accuracy", "cost", "selective_accuracy")
"""Fields of a curve that depend on the depth."""


@dataclass(slots=True, kw_only=True)
class Curve:
    """The cascade at every depth (D) or at one threshold. ... is empty for observed counts, R for resampled ones."""

    deferral_rate: np.ndarray
    """[..., D] share of questions deferred to the LLM."""
    accuracy: np.ndarray
    """[..., D] pass@1 of the cascade."""
    cost: np.ndarray
    """[..., D] mean cost of a question, SLM and LLM together."""
    selective_accuracy: np.ndarray
    """[..., D] accuracy of the kept SLM answers; NaN if none is kept."""
    slm_accuracy: np.ndarray
    """[...] SLM alone."""
    llm_accuracy: np.ndarray
    """[...] LLM alone."""
    slm_cost: np.ndarray
    """[...] mean cost of a question, SLM alone."""
    llm_cost: np.ndarray
    """[...] mean cost of a question, LLM alone."""

    def at(self, depth: int | np.ndarray) -> Curve:
        """The curve at one depth (without the axis D) or at several."""
        return self._with({name: getattr(self, name)[..., depth] for name in OF_DEPTH})

    def each(self, depth: np.ndarray) -> Curve:
        """Every resample at its own depth [R]; without the axis D."""
        at = np.asarray(depth)[:, None]
        return self._with({name: np.take_along_axis(getattr(self, name), at, -1)[:, 0] for name in OF_DEPTH})

    def or_llm_alone(self, mask: np.ndarray) -> Curve:
        """The LLM alone, without the SLM, where `mask` [R] holds; for a curve at one depth of each resample."""
        alone: dict[str, float | np.ndarray] = {
            "deferral_rate": 1.0,
            "accuracy": self.llm_accuracy,
            "cost": self.llm_cost,
            "selective_accuracy": np.nan,
        }
        here = self._with({name: np.where(mask, alone[name], getattr(self, name)) for name in OF_DEPTH})
        here.slm_cost = np.where(mask, 0.0, self.slm_cost)
        return here

    def _with(self, of_depth: dict[str, np.ndarray]) -> Curve:
        alone = ("slm_accuracy", "llm_accuracy", "slm_cost", "llm_cost")
        return Curve(**of_depth, **{name: getattr(self, name) for name in alone})


def curve(tally: Tally) -> Curve:
    """The cascade at each depth: one cumulative sum over the levels."""
    size, slm, llm = (_ends(x) for x in (tally.size, tally.slm_right, tally.llm_right))
    cost = _ends(tally.llm_cost)
    total = size[..., -1:]
    kept = total - size
    kept_right = slm[..., -1:] - slm
    selective = np.divide(kept_right, kept, out=np.full(kept.shape, np.nan), where=kept > 0)
    return Curve(
        deferral_rate=size / total,
        accuracy=(kept_right + llm) / total,
        cost=(tally.slm_cost[..., None] + cost) / total,
        selective_accuracy=selective,
        slm_accuracy=(slm[..., -1:] / total)[..., 0],
        llm_accuracy=(llm[..., -1:] / total)[..., 0],
        slm_cost=tally.slm_cost / total[..., 0],
        llm_cost=(cost[..., -1:] / total)[..., 0],
    )


def _ends(per_level: np.ndarray) -> np.ndarray:
    """[..., D] sums over the d lowest levels."""
    zero = np.zeros((*per_level.shape[:-1], 1))
    return np.concatenate([zero, np.cumsum(per_level, -1, dtype=np.float64)], -1)


def pareto(cost: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """[M] True where no other point is at least as cheap and as accurate, and better in one of them."""
    if not len(cost):
        return np.zeros(0, bool)
    order = np.argsort(cost)  # several times as fast as sorting by both
    by_cost, by_accuracy = cost[order], accuracy[order]
    new_cost = np.concatenate([[True], by_cost[1:] != by_cost[:-1]])
    best = np.maximum.reduceat(by_accuracy, np.flatnonzero(new_cost))  # of each cost
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(best)[:-1]])
    of = np.cumsum(new_cost) - 1
    on = np.zeros(len(cost), bool)
    on[order] = (by_accuracy == best[of]) & (best > best_before)[of]
    return on


def oracle(levels: Levels, points: int = 200) -> pd.DataFrame:
    """The best possible deferral: columns deferral_rate, cost, accuracy; at most about `points` rows.

    It defers the questions that only the LLM gets right, the cheapest first, then those without a difference, then
    those that only the SLM gets right.
    """
    gain = (levels.outcome == LLM_ONLY).astype(int) - (levels.outcome == SLM_ONLY)
    order = np.lexsort((levels.llm_cost, -gain))
    total = max(len(levels), 1)
    accuracy = (np.isin(levels.outcome, (2, 3)).sum() + np.concatenate([[0], np.cumsum(gain[order])])) / total
    cost = (levels.slm_cost.sum() + np.concatenate([[0.0], np.cumsum(levels.llm_cost[order])])) / total
    corners = [0, int((gain > 0).sum()), int((gain >= 0).sum()), len(levels)]
    keep = np.unique(np.concatenate([corners, np.linspace(0, len(levels), points).astype(int)]))
    rate = np.arange(len(levels) + 1) / total
    return pd.DataFrame({"deferral_rate": rate, "cost": cost, "accuracy": accuracy}).iloc[keep].reset_index(drop=True)
