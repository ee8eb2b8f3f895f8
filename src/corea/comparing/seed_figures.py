"""Figures over the seeds of a group: mean and Student t interval.

With S seeds the interval of the mean is mean +- t(S - 1) s / sqrt(S), s the standard deviation over the seeds. It
assumes normally distributed differences between seeds. A bootstrap over three seeds would be much too narrow, so none
is used. One seed has no interval. All seeds answer the same test questions, so this interval does not include other
questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corea.comparing.run_groups import RunGroup
from corea.metrics.figures import Figure


@dataclass(slots=True, kw_only=True)
class Span:
    """An interval; NaN where there is none."""

    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def mean_span(values: Sequence[float] | np.ndarray, level: float) -> Span:
    """Student t interval of the mean of independent values; none with fewer than two."""
    given = np.asarray(values, np.float64)
    if len(given) < 2 or not np.isfinite(given).all():
        return Span()
    half = _quantile(len(given) - 1, level) * given.std(ddof=1) / math.sqrt(len(given))
    return Span(low=float(given.mean() - half), high=float(given.mean() + half))


def difference_span(values: Sequence[float], reference: Sequence[float], level: float) -> Span:
    """Welch's interval of the difference of two means; none with fewer than two values on either side."""
    sides = [np.asarray(side, np.float64) for side in (values, reference)]
    if any(len(side) < 2 or not np.isfinite(side).all() for side in sides):
        return Span()
    parts = [float(side.var(ddof=1)) / len(side) for side in sides]
    middle = float(sides[0].mean() - sides[1].mean())
    if sum(parts) == 0:
        return Span(low=middle, high=middle)
    freedom = sum(parts) ** 2 / sum(p**2 / (len(s) - 1) for p, s in zip(parts, sides, strict=True))
    half = _quantile(freedom, level) * math.sqrt(sum(parts))
    return Span(low=middle - half, high=middle + half)


def _quantile(freedom: float, level: float) -> float:
    from scipy.stats import t  # takes half a second to import

    return float(t.ppf((1 + level) / 2, freedom))


def group_values(group: RunGroup, figures: dict[str, dict[str, dict[str, Figure]]], dataset: str, metric: str) -> list:
    """The figures (Figure) of the group's runs that have this metric; `figures`: path -> dataset -> metric."""
    found = [figures[run.path].get(dataset, {}).get(metric) for run in group.runs]
    return [figure for figure in found if figure is not None and math.isfinite(figure.value)]


def table_over_seeds(
    groups: Sequence[RunGroup],
    figures: dict[str, dict[str, dict[str, Figure]]],
    cells: Sequence[tuple[str, str]],
    level: float,
) -> pd.DataFrame:
    """One row per (dataset, metric) of `cells` and group.

    Columns: dataset, group, the keys that differ, metric, runs (how many have the metric), mean, seeds_lo, seeds_hi
    (Student t over the runs, from two on), questions_lo, questions_hi (of a single run, from its metrics.json).
    """
    rows: list[dict[str, Any]] = []
    for dataset, metric in cells:
        for group in groups:
            found = group_values(group, figures, dataset, metric)
            values = [figure.value for figure in found]
            span = mean_span(values, level)
            single = found[0] if len(group.runs) == len(found) == 1 else None
            rows.append(
                {
                    "dataset": dataset,
                    "group": group.label,
                    **group.keys,
                    "metric": metric,
                    "runs": len(values),
                    "mean": float(np.mean(values)) if values else math.nan,
                    "seeds_lo": span.low,
                    "seeds_hi": span.high,
                    "questions_lo": single.low if single else math.nan,
                    "questions_hi": single.high if single else math.nan,
                }
            )
    return pd.DataFrame(rows)


def runs_table(
    groups: Sequence[RunGroup],
    figures: dict[str, dict[str, dict[str, Figure]]],
    cells: Sequence[tuple[str, str]],
) -> pd.DataFrame:
    """One row per run and dataset: path, seed, group and the value of each metric."""
    rows = []
    for group in groups:
        for run in group.runs:
            for dataset in dict.fromkeys(name for name, _ in cells):
                own = figures[run.path].get(dataset, {})
                values = {m: own[m].value if m in own else math.nan for name, m in cells if name == dataset}
                row = {"run": run.path, "seed": run.seed, "group": group.label, **group.keys, "dataset": dataset}
                rows.append(row | values)
    return pd.DataFrame(rows)
