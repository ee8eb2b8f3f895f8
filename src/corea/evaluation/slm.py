"""The small model on its own: every figure with its interval, reliability diagram and confidence histogram."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.config.cascade_schema import CascadeConfig
from corea.metrics import calibration
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally


@dataclass(slots=True, kw_only=True)
class Small:
    """The small model on the test questions."""

    figures: dict[str, Figure]
    """accuracy, cost, missing_confidence and all of calibration.all_metrics."""
    counts: dict[str, int]
    """Answers by status, missing and distinct confidences, answers at 0, at 1 and at the most frequent value."""
    reliability: pd.DataFrame
    """One row a bin: lower, upper, n, confidence, accuracy, low, high (Wilson interval)."""
    histogram: pd.DataFrame
    """One row a confidence or bin of confidences: confidence, width, right, wrong."""


def measure_small(
    pairs: Pairs, levels: Levels, coarse: Levels, drawn: Tally, cfg: CascadeConfig
) -> tuple[Small, dict[str, np.ndarray]]:
    """The small model's figures, and the draws [R] behind them."""
    exact, _ = _small_values(levels, levels.observed, cfg)
    centre, mass_of = _small_values(coarse, coarse.observed, cfg)
    draws, _ = _small_values(coarse, drawn, cfg, mass_of)
    draws = {name: d + (exact[name] - centre[name]) for name, d in draws.items()}  # 0 up to MAX_LEVELS confidences
    with_confidence = int((~np.isnan(pairs.confidence)).sum())
    figures = figures_of(exact, draws, with_confidence, cfg.level)
    for name in ("accuracy", "cost", "missing_confidence"):
        figures[name].n = len(pairs)
    return (
        Small(
            figures=figures,
            counts=_counts(pairs, levels),
            reliability=reliability(levels, cfg.bins, cfg.ece_edges, cfg.level),
            histogram=histogram(levels),
        ),
        draws,
    )


def _small_values(
    levels: Levels, tally: Tally, cfg: CascadeConfig, mass_of: np.ndarray | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Every figure of the small model [...], and the equal-mass bins that were used."""
    first = levels.missing
    size, right = tally.size, tally.slm_right
    total = size.sum(-1)
    given_right, given_wrong = right[..., first:], (size - right)[..., first:]
    if mass_of is None:
        mass_of = calibration.equal_mass(size[..., first:], cfg.bins)
    values = {
        "accuracy": right.sum(-1) / total,
        "cost": tally.slm_cost / total,
        "missing_confidence": size[..., :first].sum(-1) / total,
        **calibration.all_metrics(levels.value[first:], given_wrong, given_right, cfg.bins, cfg.ece_edges, mass_of),
    }
    return values, mass_of


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


def reliability(levels: Levels, bins: int, edges: str = "lower", level: float = 0.95) -> pd.DataFrame:
    """Reliability diagram as numbers: one row a bin that holds answers."""
    first = levels.missing
    value, size = levels.value[first:], levels.observed.size[first:]
    bin_of = calibration.equal_width(value, bins, edges)
    n, right = (calibration.in_bins(x, bin_of, bins) for x in (size, levels.observed.slm_right[first:]))
    mean = calibration.in_bins(size * value, bin_of, bins) / np.maximum(n, 1)
    low, high = wilson(right, n, level)
    ends = np.arange(bins + 1) / bins
    table = pd.DataFrame(
        {
            "lower": ends[:-1],
            "upper": ends[1:],
            "n": n.astype(int),
            "confidence": mean,
            "accuracy": right / np.maximum(n, 1),
            "low": low,
            "high": high,
        }
    )
    return table[table["n"] > 0].reset_index(drop=True)


def wilson(right: np.ndarray, n: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson score interval of a share; sensible where all or none are right."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    n = np.maximum(n, 1e-12)
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def histogram(levels: Levels, most: int = 41) -> pd.DataFrame:
    """Right and wrong answers by confidence: at each value where there are few, else in 40 bins."""
    first = levels.missing
    value, size = levels.value[first:], levels.observed.size[first:]
    right = levels.observed.slm_right[first:]
    if len(value) <= most:
        gap = np.diff(value).min() if len(value) > 1 else 0.1
        width = np.full(len(value), min(max(float(gap) * 0.9, 0.004), 0.08))
        return pd.DataFrame({"confidence": value, "width": width, "right": right, "wrong": size - right})
    bin_of = calibration.equal_width(value, most - 1)
    right, total = (calibration.in_bins(x, bin_of, most - 1) for x in (right, size))
    middle = (np.arange(most - 1) + 0.5) / (most - 1)
    return pd.DataFrame({"confidence": middle, "width": 1 / (most - 1), "right": right, "wrong": total - right})
