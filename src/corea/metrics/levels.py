"""Questions grouped by confidence: the data of thresholds, calibration metrics and bootstrap.

A threshold depends on a question only through its confidence, so N questions reduce to K levels with counts and cost
sums. A sweep needs one sort and one cumulative sum for any number of thresholds.
Legend: N questions, K levels, R resamples. An outcome is 2 * slm_correct + llm_correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

NEITHER, LLM_ONLY, SLM_ONLY, BOTH = range(4)
"""Outcomes."""
MAX_LEVELS = 2048
"""Levels of the bootstrap. More distinct confidences are grouped by equal mass for the bands, not for the values."""


class Answered(Protocol):
    """N questions, each answered by SLM and LLM (corea.answers.pairs.Pairs)."""

    confidence: np.ndarray
    """[N] confidence of the SLM, NaN missing."""
    slm_correct: np.ndarray
    """[N] bool."""
    llm_correct: np.ndarray
    """[N] bool."""
    slm_cost: np.ndarray
    """[N]"""
    llm_cost: np.ndarray
    """[N]"""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of each level: observed (... is empty) or resampled (... is R)."""

    count: np.ndarray
    """[..., K, 4] questions of each outcome."""
    slm_cost: np.ndarray
    """[...] total cost of the SLM, which answers every question."""
    llm_cost: np.ndarray
    """[..., K] cost of the LLM if the level is deferred."""

    @property
    def size(self) -> np.ndarray:
        """[..., K] questions of each level."""
        return self.slm_right + (self.count[..., NEITHER] + self.count[..., LLM_ONLY])  # faster than a sum over 4

    @property
    def slm_right(self) -> np.ndarray:
        """[..., K] questions that the SLM gets right."""
        return self.count[..., SLM_ONLY] + self.count[..., BOTH]

    @property
    def llm_right(self) -> np.ndarray:
        """[..., K] questions that the LLM gets right."""
        return self.count[..., LLM_ONLY] + self.count[..., BOTH]


@dataclass(slots=True, kw_only=True)
class Levels:
    """Questions of one dataset and split, grouped by confidence."""

    value: np.ndarray
    """[K] mean confidence of the level, ascending; NaN first if a confidence is missing (always deferred)."""
    low: np.ndarray
    """[K] smallest confidence of the level: deferring below it defers every lower level."""
    level: np.ndarray
    """[N] level of each question."""
    outcome: np.ndarray
    """[N] outcome of each question."""
    slm_cost: np.ndarray
    """[N]"""
    llm_cost: np.ndarray
    """[N]"""
    observed: Tally
    """The counts of the questions themselves."""

    @property
    def missing(self) -> int:
        """1 if the first level is the missing confidence, else 0."""
        return int(len(self.value) > 0 and bool(np.isnan(self.value[0])))

    def __len__(self) -> int:
        """N."""
        return len(self.level)


def group(pairs: Answered) -> Levels:
    """One level per distinct confidence."""
    return grouped(pairs.confidence, pairs.slm_correct, pairs.llm_correct, pairs.slm_cost, pairs.llm_cost)


def grouped(
    confidence: np.ndarray,
    slm_correct: np.ndarray,
    llm_correct: np.ndarray,
    slm_cost: np.ndarray,
    llm_cost: np.ndarray,
) -> Levels:
    """One level per distinct confidence; [N] each."""
    value, level = np.unique(confidence, return_inverse=True)  # NaN comes last, as one value
    if len(value) and np.isnan(value[-1]):
        value = np.roll(value, 1)
        level = (level + 1) % len(value)
    outcome = 2 * slm_correct.astype(np.int64) + llm_correct
    return _levels(value, value, level, outcome, slm_cost, llm_cost)


def coarsen(levels: Levels, most: int = MAX_LEVELS, edges: np.ndarray | None = None) -> Levels:
    """At most about `most` levels of equal mass; no level spans one of `edges` (bins), and missing confidences
    keep their own level. Returns `levels` itself if it is small enough.
    """
    if len(levels.value) <= most:
        return levels
    size = levels.observed.size
    before = np.cumsum(size) - size
    part = (before * most) // max(len(levels), 1)
    if edges is not None:
        part = part + most * np.searchsorted(edges, levels.value, side="right")
    if levels.missing:
        part[0] = -1
    start = np.flatnonzero(np.diff(part, prepend=part[0] - 1))
    weight = np.add.reduceat(size, start)
    value = np.add.reduceat(size * levels.value, start) / weight
    of_level = np.cumsum(np.diff(part, prepend=part[0]) != 0)
    level = of_level[levels.level]
    return _levels(value, levels.low[start], level, levels.outcome, levels.slm_cost, levels.llm_cost)


def _levels(
    value: np.ndarray,
    low: np.ndarray,
    level: np.ndarray,
    outcome: np.ndarray,
    slm_cost: np.ndarray,
    llm_cost: np.ndarray,
) -> Levels:
    size = len(value)
    count = np.bincount(4 * level + outcome, minlength=4 * size).reshape(size, 4)
    observed = Tally(
        count=count,
        slm_cost=np.asarray(slm_cost.sum()),
        llm_cost=np.bincount(level, weights=llm_cost, minlength=size),
    )
    return Levels(
        value=value,
        low=low,
        level=level,
        outcome=outcome,
        slm_cost=slm_cost,
        llm_cost=llm_cost,
        observed=observed,
    )
