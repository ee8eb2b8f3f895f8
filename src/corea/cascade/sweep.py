"""What a cascade does at every threshold: accuracy, cost, deferral, frontier, areas (DESIGN section 6).

A question is deferred when confidence < threshold; a missing confidence is always deferred; the SLM is paid on every
question.
Legend: N questions, K levels, M thresholds, R resamples, D = K + 1 depths: depth d defers the d lowest levels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from corea.metrics.bootstrap import interval
from corea.metrics.cascade_curve import curve, pareto
from corea.metrics.levels import Levels, Tally

EVERYTHING = 1.01
"""The threshold above every confidence: all questions are deferred."""


def thresholds_of(levels: Levels, grid: list[float] | None = None) -> np.ndarray:
    """[M] candidate thresholds, ascending: every observed confidence and both ends (0, EVERYTHING), or `grid`."""
    if grid:
        return np.unique(np.asarray(grid, np.float64))
    return np.unique(np.concatenate([[0.0, EVERYTHING], levels.low[levels.missing :]]))


def depth_of(levels: Levels, threshold: float | np.ndarray) -> np.ndarray:
    """Depth of each threshold: how many of the lowest levels it defers, the missing confidence included."""
    return np.searchsorted(levels.low[levels.missing :], threshold, side="left") + levels.missing


def sweep(levels: Levels, coarse: Levels, drawn: Tally | None, level: float, grid: list[float]) -> pd.DataFrame:
    """One row a threshold, with pointwise intervals of the whole curve from the same resamples.

    Values are exact at every threshold. Bands are exact where `coarse` has a level boundary, which is everywhere up to
    MAX_LEVELS distinct confidences, and interpolated along the deferral rate in between.
    Columns: threshold, deferral_rate, accuracy, cost, selective_accuracy, accuracy_lo, accuracy_hi, cost_lo, cost_hi,
    deferral_lo, deferral_hi, on_frontier.
    """
    thresholds = thresholds_of(levels, grid)
    here = curve(levels.observed).at(depth_of(levels, thresholds))
    table = pd.DataFrame(
        {
            "threshold": thresholds,
            "deferral_rate": here.deferral_rate,
            "accuracy": here.accuracy,
            "cost": here.cost,
            "selective_accuracy": here.selective_accuracy,
        }
    )
    bands = _bands(coarse, drawn, level, table) if drawn is not None else {}
    for name in ("accuracy", "cost", "deferral"):
        table[f"{name}_lo"], table[f"{name}_hi"] = bands.get(name, (np.nan, np.nan))
    table["on_frontier"] = pareto(here.cost, here.accuracy)
    return table


def _bands(coarse: Levels, drawn: Tally, level: float, table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Interval ends at each row of `table`, carried from the depths of `coarse` as offsets from the value."""
    centre, draws = curve(coarse.observed), curve(drawn)
    rate = table["deferral_rate"].to_numpy()
    bands = {}
    for name, column in (("accuracy", "accuracy"), ("cost", "cost"), ("deferral", "deferral_rate")):
        low, high = interval(getattr(draws, column), level)
        value = getattr(centre, column)
        here = table[column].to_numpy()
        bands[name] = tuple(here + np.interp(rate, centre.deferral_rate, end - value) for end in (low, high))
    return bands
