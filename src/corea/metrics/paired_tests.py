"""Paired tests from bootstrap resamples, and Holm's correction for several of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def resampled_p(differences: np.ndarray) -> float:
    """Two-sided p-value of differences [R] on resampled questions.

    Twice the smaller share of resamples on either side of 0, at least 1 / R; NaN without any.
    """
    given = differences[np.isfinite(differences)]
    if not len(given):
        return float("nan")
    share = 2 * min((given <= 0).mean(), (given >= 0).mean())
    return float(min(1.0, max(share, 1 / len(given))))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values [M]: those below alpha are significant at a family-wise error rate of alpha.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the k-th smallest of M values is multiplied by
    M - k + 1, and no adjusted value is below an earlier one. It holds for dependent tests. NaN is no test.
    """
    given = np.asarray(p_values, np.float64)
    adjusted = np.full(given.shape, np.nan)
    tests = np.flatnonzero(np.isfinite(given))
    order = tests[np.argsort(given[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * given[order]), 1.0)
    return adjusted
