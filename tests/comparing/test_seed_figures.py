"""Intervals over seeds, against values from a table of Student's t."""

from __future__ import annotations

import math

import numpy as np
import pytest

from corea.comparing.paired_figures import over_both, over_seeds
from corea.comparing.seed_figures import Span, difference_span, mean_span

T2, T4 = 4.302653, 2.776445
"""97.5 % quantiles of Student's t with 2 and 4 degrees of freedom."""


def test_the_interval_of_a_mean_over_three_seeds():
    span = mean_span([1.0, 2.0, 3.0], 0.95)
    assert (span.low, span.high) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan]])
def test_one_seed_and_undefined_figures_have_no_interval(values):
    assert not mean_span(values, 0.95).known
    assert not difference_span(values, [1.0, 2.0], 0.95).known
    assert not difference_span([1.0, 2.0], values, 0.95).known


def test_seeds_that_match_are_paired():
    """0.1, 0.2, 0.3 above the reference; unpaired, the spread of the reference counts as well."""
    reference, now = [1.0, 5.0, 9.0], [1.1, 5.2, 9.3]
    paired = over_seeds(now, reference, 0.95, matched=True)
    half = T2 * 0.1 / math.sqrt(3)
    assert (paired.low, paired.high) == pytest.approx((0.2 - half, 0.2 + half))
    apart = over_seeds(now, reference, 0.95, matched=False)
    assert apart.low < -8
    assert apart.high > 8


def test_other_seeds_have_welchs_interval():
    """Equal variances 1 and sizes 3: 4 degrees of freedom, standard error sqrt(2 / 3)."""
    span = difference_span([11.0, 12.0, 13.0], [1.0, 2.0, 3.0], 0.95)
    half = T4 * math.sqrt(2 / 3)
    assert (span.low, span.high) == pytest.approx((10 - half, 10 + half))
    assert difference_span([2.0, 2.0], [1.0, 1.0], 0.95) == Span(low=1.0, high=1.0)


def test_both_adds_half_widths_in_quadrature():
    span = over_both(1.0, Span(low=0.7, high=1.6), Span(low=0.6, high=1.8))
    assert (span.low, span.high) == pytest.approx((1 - 0.5, 1 + 1.0))
    assert not over_both(1.0, Span(), Span(low=0.0, high=2.0)).known


def test_the_interval_over_seeds_covers_the_truth():
    rng = np.random.default_rng(0)
    covered = [span.low < 3 < span.high for span in (mean_span(rng.normal(3, 2, 3), 0.95) for _ in range(1000))]
    assert 0.93 < np.mean(covered) < 0.97
