"""Figures of the small model alone on the test questions, and their change against the model before RL.

Calibration errors over bins have the intervals of ece_figures.py. The reliability part of the Brier score has the same
bias and no interval.
Legend: N questions, K levels, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.ece_figures import CALIBRATION, set_ece_change, set_ece_interval, set_ends, stated
from corea.metrics.bootstrap import Sample, interval
from corea.metrics.calibration import all_metrics, equal_mass, histogram, reliability
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally

WITHOUT_INTERVAL = ("brier_reliability",)


@dataclass(slots=True, kw_only=True)
class Small:
    """The small model on the test questions."""

    figures: dict[str, Figure]
    """accuracy, cost, missing_confidence and all of calibration.all_metrics."""
    counts: dict[str, int]
    """Answers by status; missing and distinct confidences; answers with confidence 0, 1 and the most frequent value."""
    reliability: pd.DataFrame
    """One row per bin: lower, upper, n, confidence, accuracy, low, high (Wilson interval)."""
    histogram: pd.DataFrame
    """One row per confidence or bin of confidences: confidence, width, right, wrong."""
    no_interval: str
    """Why the calibration errors have no interval; empty where they have one."""


def measure_small(pairs: Pairs, sample: Sample, cfg: CascadeConfig) -> tuple[Small, dict[str, np.ndarray]]:
    """The small model's figures, and the draws [R] behind them."""
    value, wrong, right = stated(sample.exact, sample.exact.observed)
    values, draws = sample.centred(partial(_values, cfg=cfg))
    figures = figures_of(values, draws, int((~np.isnan(pairs.confidence)).sum()), cfg.level)
    for name in ("accuracy", "cost", "missing_confidence"):
        figures[name].n = len(pairs)
    reason = ""
    for name in CALIBRATION:
        reason = set_ece_interval(figures[name], sample.exact, name, cfg)
    for name in WITHOUT_INTERVAL:
        set_ends(figures[name], None)
    small = Small(
        figures=figures,
        counts=_counts(pairs, sample.exact),
        reliability=reliability(value, wrong, right, cfg.bins, cfg.ece_edges, cfg.level),
        histogram=histogram(value, wrong, right),
        no_interval=reason,
    )
    return small, draws


def change_of(
    now: tuple[Small, dict[str, np.ndarray], Levels],
    old: tuple[Small, dict[str, np.ndarray], Levels],
    cfg: CascadeConfig,
) -> dict[str, Figure]:
    """Figures of `now` minus those of `old`: results, draws and levels of the same questions in the same order."""
    (small, draws, levels), (earlier, old_draws, old_levels) = now, old
    change = {}
    for name, figure in small.figures.items():
        low, high = interval(draws[name] - old_draws[name], cfg.level)
        value = figure.value - earlier.figures[name].value
        least = min(figure.n, earlier.figures[name].n)
        change[name] = Figure(value=value, low=float(low), high=float(high), n=least)
        if name in CALIBRATION:
            set_ece_change(change[name], levels, old_levels, name, cfg)
        elif name in WITHOUT_INTERVAL:
            set_ends(change[name], None)
    return change


def _values(levels: Levels, tally: Tally, cfg: CascadeConfig) -> dict[str, np.ndarray]:
    """Every figure of the small model [...]."""
    value, wrong, right = stated(levels, tally)
    total = tally.size.sum(-1)
    mass_of = equal_mass(levels.observed.size[levels.missing :], cfg.bins)
    return {
        "accuracy": tally.slm_right.sum(-1) / total,
        "cost": tally.slm_cost / total,
        "missing_confidence": tally.size[..., : levels.missing].sum(-1) / total,
        **all_metrics(value, wrong, right, cfg.bins, cfg.ece_edges, mass_of),
    }


def _counts(pairs: Pairs, levels: Levels) -> dict[str, int]:
    status, number = np.unique(pairs.status[pairs.status != ""].astype(str), return_counts=True)
    size, first = levels.observed.size, levels.missing
    given = dict(zip(levels.value[first:], size[first:], strict=True))
    return {
        **{f"status_{s}": int(n) for s, n in zip(status, number, strict=True)},
        "missing_confidence": int(size[:first].sum()),
        "distinct_confidences": len(given),
        "confidence_at_0": int(given.get(0.0, 0)),
        "confidence_at_1": int(given.get(1.0, 0)),
        "confidence_at_mode": int(max(given.values(), default=0)),
    }
