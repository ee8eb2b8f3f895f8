"""The cheapest threshold that keeps a promise on new questions; promises.py runs the sequence of tests.

If no threshold keeps the promise, it estimates how many calibration questions would be enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from corea.cascade.promises import candidates, chosen_depth, kept, shortfall
from corea.cascade.sweep import depth_of
from corea.metrics.levels import Levels, Tally

Array = np.ndarray


@dataclass(slots=True, kw_only=True)
class Promise:
    """What has to hold on new questions with probability 1 - alpha."""

    of: str
    """net, loss or kept_accuracy."""
    target: float
    """Most accuracy drop or loss against the LLM, or least accuracy of kept answers."""
    alpha: float

    @property
    def words(self) -> str:
        """What is promised."""
        return {
            "net": f"a drop of at most {self.target:g} against the LLM alone",
            "loss": f"a loss of at most {self.target:g}",
            "kept_accuracy": f"kept answers that are right at least {self.target:g} of the time",
        }[self.of]


def thresholds_that_hold(levels: Levels, tally: Tally, promise: Promise, grid: list[float]) -> Array:
    """[...] lowest valid threshold of the observed counts or of each resample of `levels`; NaN where none is valid.

    With a `grid`, its thresholds are the candidates.
    """
    tested = _tested(levels, tally, grid)
    depth = chosen_depth(tally.count, promise.of, promise.target, promise.alpha, tested)
    return np.where(depth < len(levels.low), _lowest(levels, grid)[depth], np.nan)


def _tested(levels: Levels, tally: Tally, grid: list[float]) -> Array:
    """[..., D] candidates."""
    if not grid:
        return candidates(tally.size, missing=levels.missing)
    tested = np.zeros((*tally.size.shape[:-1], len(levels.low) + 1), bool)
    tested[..., depth_of(levels, np.asarray(grid))] = True
    return tested


def _lowest(levels: Levels, grid: list[float]) -> Array:
    """[D] threshold that stands for each depth: 0 where every stated confidence is kept."""
    if not grid:
        lowest = np.append(levels.low, np.nan)
        lowest[levels.missing] = 0.0
        return lowest
    lowest = np.full(len(levels.low) + 1, np.nan)
    descending = np.unique(grid)[::-1]
    lowest[depth_of(levels, descending)] = descending  # of several in one depth the lowest comes last
    return lowest


def why_none(levels: Levels, promise: Promise, grid: list[float]) -> str:
    """Why no threshold is valid, and how many more questions would help."""
    tally = levels.observed
    need = shortfall(tally.count, promise.of, promise.target, promise.alpha, _tested(levels, tally, grid))
    sure = f"with probability {1 - promise.alpha:g}"
    text = f"no threshold that keeps any answer is shown to give {promise.words} {sure}"
    if math.isfinite(need.questions):
        more = max(math.ceil(need.questions - len(levels)), 1)
        return f"{text}; you need about {more:,} more calibration questions"
    return f"{text}, and more questions would not help: {_best_seen(levels, promise)}"


def _best_seen(levels: Levels, promise: Promise) -> str:
    sums = kept(levels.observed.count)
    some = sums.kept > 0
    if not some.any():
        return "none is kept"
    if promise.of == "kept_accuracy":
        return f"the best observed is {(sums.right[some] / sums.kept[some]).max():.3f}"
    lost = sums.lost - sums.won if promise.of == "net" else sums.lost
    return f"the best observed is {(lost[some] / sums.questions).min():.3f}"
