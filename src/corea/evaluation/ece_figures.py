"""Intervals of calibration errors over bins, which the bootstrap gets wrong (docs/intervals.md).

Legend: N questions, K levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from corea.config.cascade_schema import CascadeConfig
from corea.metrics.calibration import equal_mass, equal_width
from corea.metrics.ece_change import ece_change_interval, ece_change_p_value
from corea.metrics.ece_interval import Interval, bins_of_levels, ece_interval
from corea.metrics.figures import Figure
from corea.metrics.levels import Levels, Tally

CALIBRATION = ("ece", "ece_debiased", "ece_equal_mass")
"""Figures that estimate a true calibration error over bins: equal width, equal width, equal mass."""


def stated(levels: Levels, tally: Tally) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence [K], wrong and right answers [..., K] of the levels that hold a confidence."""
    first = levels.missing
    right = tally.slm_right[..., first:]
    return levels.value[first:], tally.size[..., first:] - right, right


def set_ends(figure: Figure, found: Interval | None) -> None:
    """Give `figure` the ends of an interval; none where there is none."""
    figure.low, figure.high = (float(found.low), float(found.high)) if found is not None else (np.nan, np.nan)


def set_ece_interval(figure: Figure, levels: Levels, name: str, cfg: CascadeConfig) -> str:
    """Give the calibration error `name` its interval; returns why it has none, or "". None without resamples."""
    bin_of = _bin_of(levels, name, cfg)
    bins = bins_of_levels(*stated(levels, levels.observed), bin_of, cfg.bins)
    found, reason = ece_interval(bins, cfg.level) if cfg.resamples else (None, "")
    set_ends(figure, found)
    return reason


def set_ece_change(figure: Figure, now: Levels, old: Levels, name: str, cfg: CascadeConfig) -> None:
    """Give the change of the calibration error `name` its interval, from the same questions in the same order."""
    both = _answer_by_answer(now, old, name, cfg)
    set_ends(figure, ece_change_interval(**both, level=cfg.level)[0] if cfg.resamples else None)


def ece_change_p(now: Levels, old: Levels, cfg: CascadeConfig) -> float:
    """p-value of a difference of ECE on the same questions in the same order; NaN with too few answers."""
    return ece_change_p_value(**_answer_by_answer(now, old, "ece", cfg))


def _answer_by_answer(now: Levels, old: Levels, name: str, cfg: CascadeConfig) -> dict[str, Any]:
    """Arguments of ece_change.py."""
    both = (now, old)
    none = [np.zeros(of.missing, np.int64) for of in both]  # a missing confidence is in no bin
    return {
        "confidence": tuple(of.value[of.level] for of in both),
        "correct": tuple(of.outcome >= 2 for of in both),
        "bin_of": tuple(
            np.concatenate([n, _bin_of(of, name, cfg)])[of.level] for n, of in zip(none, both, strict=True)
        ),
        "bins": cfg.bins,
    }


def _bin_of(levels: Levels, name: str, cfg: CascadeConfig) -> np.ndarray:
    """Bin of each level that holds a confidence; the equal-mass bins are those of the questions themselves."""
    if name == "ece_equal_mass":
        return equal_mass(levels.observed.size[levels.missing :], cfg.bins)
    return equal_width(levels.value[levels.missing :], cfg.bins, cfg.ece_edges)
