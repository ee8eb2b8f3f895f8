"""Paired bootstrap over questions, for all figures at once.

Each resample takes N questions with replacement, each with its verdicts, confidence and costs, so differences between
tiers, thresholds and rules are paired.

Two ways to sample the same distribution:
- up to EXACT questions, question by question, with the same draws for the same seed and N: two systems on the same
  questions (before and after RL, two signals) are paired by the same seed;
- above EXACT, level by level, at a cost that does not grow with N. Counts per (level, outcome) are multinomial, which
  is exact. The cost of the questions of a cell is a sum of many independent values; it is sampled from the normal
  distribution with the exact mean, variance and SLM-LLM covariance of that sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from corea.metrics.levels import Answered, Levels, Tally, coarsen, group

EXACT = 50_000
"""Most questions that are resampled one by one."""
CHUNK = 2_000_000
"""Resampled questions in memory at one time."""


Measure = Callable[[Levels, Tally], dict[str, np.ndarray]]
"""Figures of questions, from their levels and the counts per level: observed counts, or resampled ones [R, ...]."""


@dataclass(slots=True, init=False)
class Sample:
    """N questions grouped by confidence, with R bootstrap resamples."""

    exact: Levels
    """One level per distinct confidence."""
    coarse: Levels
    """Few enough levels to resample; `exact` itself up to MAX_LEVELS distinct confidences."""
    drawn: Tally
    """R resamples of `coarse`."""

    def __init__(self, questions: Answered, edges: np.ndarray, resamples: int, seed: int) -> None:
        """Group `questions` and resample them; no coarse level spans one of `edges`."""
        self.exact = group(questions)
        self.coarse = coarsen(self.exact, edges=edges)
        self.drawn = resample(self.coarse, resamples, seed)

    def centred(self, measure: Measure) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Exact values of `measure`, and its draws [R] shifted by what coarse levels change (0 up to MAX_LEVELS)."""
        values, centre = measure(self.exact, self.exact.observed), measure(self.coarse, self.coarse.observed)
        draws = measure(self.coarse, self.drawn)
        return values, {name: draw + (values[name] - centre[name]) for name, draw in draws.items()}


def resample(levels: Levels, resamples: int, seed: int) -> Tally:
    """R bootstrap resamples of the questions of `levels`."""
    rng = np.random.default_rng(seed)
    if len(levels) <= EXACT:
        return _by_question(levels, resamples, rng)
    return _by_level(levels, resamples, rng)


def _by_question(levels: Levels, resamples: int, rng: np.random.Generator) -> Tally:
    questions, size = len(levels), len(levels.value)
    cell = 4 * levels.level + levels.outcome
    count = np.empty((resamples, size, 4), np.int32)
    llm_cost = np.empty((resamples, size))
    slm_cost = np.empty(resamples)
    step = max(1, CHUNK // max(questions, 4 * size))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(0, questions, size=(rows, questions))
        here = slice(start, start + rows)
        row = np.arange(rows)[:, None]
        flat = (cell[drawn] + row * 4 * size).ravel()
        count[here] = np.bincount(flat, minlength=rows * 4 * size).reshape(rows, size, 4)
        flat //= 4
        costs = np.bincount(flat, weights=levels.llm_cost[drawn].ravel(), minlength=rows * size)
        llm_cost[here] = costs.reshape(rows, size)
        slm_cost[here] = levels.slm_cost[drawn].sum(1)
    return Tally(count=count, slm_cost=slm_cost, llm_cost=llm_cost)


def _by_level(levels: Levels, resamples: int, rng: np.random.Generator) -> Tally:
    size = len(levels.value)
    cell = 4 * levels.level + levels.outcome
    observed = levels.observed.count.ravel()
    mean, variance, covariance = _moments(levels, cell, observed)
    used = np.flatnonzero(observed)
    count = np.zeros((resamples, 4 * size), np.int32)
    count[:, used] = rng.multinomial(len(levels), observed[used] / len(levels), size=resamples)
    shape = (resamples, size, 4)

    def total(per_question: np.ndarray) -> np.ndarray:  # [4K] -> [R, K]
        return (count * per_question).reshape(shape).sum(-1)

    llm_variance, slm_variance, both = total(variance[1]), total(variance[0]), total(covariance)
    llm_noise = np.sqrt(llm_variance) * rng.standard_normal((resamples, size))
    slope = np.divide(both, llm_variance, out=np.zeros_like(both), where=llm_variance > 0)
    left = np.maximum(slm_variance - slope * both, 0.0)
    slm_noise = slope * llm_noise + np.sqrt(left) * rng.standard_normal((resamples, size))
    return Tally(
        count=count.reshape(shape),
        slm_cost=(total(mean[0]) + slm_noise).sum(-1),
        llm_cost=total(mean[1]) + llm_noise,
    )


def _moments(levels: Levels, cell: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [2, 4K] and variance [2, 4K] of SLM and LLM cost in each (level, outcome), and their covariance [4K]."""
    size = np.maximum(observed, 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(cell, weights=values, minlength=len(observed)) / size

    means = np.stack([mean(levels.slm_cost), mean(levels.llm_cost)])
    slm, llm = levels.slm_cost - means[0][cell], levels.llm_cost - means[1][cell]
    return means, np.stack([mean(slm * slm), mean(llm * llm)]), mean(slm * llm)


def interval(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval over axis 0. Undefined resamples (NaN) are left out; NaN if all are undefined."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    if not np.isnan(draws).any():
        low, high = np.quantile(draws, ends, axis=0) if len(draws) else np.full((2, *draws.shape[1:]), np.nan)
        return low, high
    masked = np.ma.masked_invalid(draws)
    whole = masked.count(axis=0) == 0
    low, high = np.nanquantile(np.where(whole, 0.0, draws), ends, axis=0)
    return np.where(whole, np.nan, low), np.where(whole, np.nan, high)
