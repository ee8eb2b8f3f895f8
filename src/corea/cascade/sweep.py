"""Accuracy, cost and deferral rate of a cascade at every threshold, with bands.

The decision is that of `corea.cascade.decision`. The SLM is paid on every question.
Legend: N questions, K levels, M thresholds, R resamples, D = K + 1 depths: depth d defers the d lowest levels.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from corea.cascade.decision import EVERYTHING, deferred_count
from corea.metrics.bootstrap import interval
from corea.metrics.cascade_curve import Curve, curve, pareto
from corea.metrics.levels import Levels, Tally


def thresholds_of(levels: Levels, grid: list[float] | None = None) -> np.ndarray:
    """[M] candidate thresholds, ascending: every observed confidence and both ends (0, EVERYTHING), or `grid`."""
    if grid:
        return np.unique(np.asarray(grid, np.float64))
    return np.unique(np.concatenate([[0.0, EVERYTHING], levels.low[levels.missing :]]))


def depth_of(levels: Levels, threshold: float | np.ndarray) -> np.ndarray:
    """Depth of each threshold: how many of the lowest levels it defers, the missing confidence included."""
    return deferred_count(levels.low, threshold)


def at_threshold(line: Curve, levels: Levels, threshold: float) -> Curve:
    """The cascade at one threshold; `line` is a curve over the depths of `levels`."""
    depth = int(depth_of(levels, threshold))
    return line.at(depth)


def sweep(levels: Levels, coarse: Levels, drawn: Tally | None, level: float, grid: list[float]) -> pd.DataFrame:
    """One row per threshold, with pointwise intervals of the whole curve from the same resamples.

    Values are exact at every threshold. Bands are exact where `coarse` has a level boundary, which is everywhere up to
    MAX_LEVELS distinct confidences, and interpolated along the deferral rate in between.
    Columns: threshold, deferral_rate, accuracy, cost, selective_accuracy, accuracy_lo, accuracy_hi, cost_lo, cost_hi,
    deferral_lo, deferral_hi, on_frontier.
    """
    thresholds = thresholds_of(levels, grid)
    here = curve(levels.observed).at(depth_of(levels, thresholds))
    on_frontier = pareto(here.cost, here.accuracy)
    table = pd.DataFrame(
        {
            "threshold": thresholds,
            "deferral_rate": here.deferral_rate,
            "accuracy": here.accuracy,
            "cost": here.cost,
            "selective_accuracy": here.selective_accuracy,
        }
    )
    bands = _bands(curve(coarse.observed), curve(drawn), level, table) if drawn is not None else {}
    for name in ("accuracy", "cost", "deferral"):
        table[f"{name}_lo"], table[f"{name}_hi"] = bands.get(name, (np.nan, np.nan))
    return table.assign(on_frontier=on_frontier)


def _bands(centre: Curve, draws: Curve, level: float, table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Interval ends at each row of `table`, carried over from the coarse depths as offsets from the value there."""
    rate = table["deferral_rate"].to_numpy()
    bands = {}
    for name, column in (("accuracy", "accuracy"), ("cost", "cost"), ("deferral", "deferral_rate")):
        low, high = interval(getattr(draws, column), level)
        value = getattr(centre, column)
        here = table[column].to_numpy()
        bands[name] = tuple(here + np.interp(rate, centre.deferral_rate, end - value) for end in (low, high))
    return bands
