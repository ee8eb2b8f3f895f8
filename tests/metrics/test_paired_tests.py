"""Paired p-values from resamples, and Holm's correction, by hand and against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import foldnorm, norm

from corea.metrics.ece_change import BIAS, ece_interval_p_value
from corea.metrics.paired_tests import holm, resampled_p


def test_holms_correction_by_hand():
    """Sorted .01, .02, .03, .04: times 4, 3, 2, 1 is .04, .06, .06, .04; none below an earlier one."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_an_undefined_test_does_not_count():
    assert holm([np.nan, 0.02, 0.04]) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)
    assert len(holm([])) == 0


def test_no_corrected_value_is_above_one():
    assert holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])


def sequentially_rejected(p: np.ndarray, alpha: float) -> set[int]:
    """Holm's procedure as it is stated: reject the smallest while it is at most alpha / (hypotheses left)."""
    left, rejected = sorted(range(len(p)), key=lambda i: p[i]), set()
    while left and p[left[0]] <= alpha / len(left):
        rejected.add(left.pop(0))
    return rejected


def test_holms_correction_rejects_what_the_stepwise_procedure_rejects():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.random(rng.integers(1, 12)) ** 3
        assert set(np.flatnonzero(holm(p) <= 0.05)) == sequentially_rejected(p, 0.05)


@pytest.mark.parametrize(
    ("draws", "p"),
    [([1, 2, 3, -1], 0.5), ([1, 2, 3, 4], 0.25), ([0, 0, 0, 0], 1.0), ([np.nan, 1, -1], 1.0), ([np.nan], np.nan)],
)
def test_the_p_value_is_twice_the_smaller_share_beyond_zero(draws, p):
    assert resampled_p(np.asarray(draws, float)) == pytest.approx(p, nan_ok=True)


def test_the_p_value_of_resamples_is_that_of_a_normal_test():
    draws = np.random.default_rng(0).normal(0.2, 0.1, 200_000)
    assert resampled_p(draws) == pytest.approx(2 * norm.sf(2), rel=0.03)


def test_the_p_value_of_an_interval_of_a_change_of_ece():
    """An interval of 0.04 +- the 95 % quantile of |N(BIAS, 1)| times 0.02: two standard errors from 0."""
    half = foldnorm.ppf(0.95, BIAS) * 0.02
    assert ece_interval_p_value(0.04 - half, 0.04 + half, 0.95) == pytest.approx(foldnorm.sf(2, BIAS), rel=1e-6)
    assert ece_interval_p_value(0.0, 2 * half, 0.95) == pytest.approx(0.05)
    assert np.isnan(ece_interval_p_value(0.1, 0.1, 0.95))
