"""Intervals of ECE and of its change: coverage on data sets with a known truth, and cases checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.stats import foldnorm, norm

from corea.metrics.ece_change import BIAS, CHANGE_KERNEL, ece_change_interval, ece_change_p_value
from corea.metrics.ece_interval import KERNELS, bins_of_answers, bins_of_levels, ece_interval
from corea.metrics.ece_kernel import kernel, non_negative

GRID = np.arange(11) / 10


def bin_of(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * 10 + 1e-9).astype(int), 9)


def smooth(truth: float, draws: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Uniform confidences, right with chance max(c - s, 0) where the true ECE s - s^2 / 2 is `truth`.

    The bin's |mean gap| is its mean |gap|, since all gaps have one sign: the ECE is the integral of min(s, c).
    """
    s = 1 - np.sqrt(1 - 2 * truth)
    c = rng.random((draws, n))
    return c, rng.random((draws, n)) < np.maximum(c - s, 0)


def discrete(truth: float, draws: int, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Five confidences 0.5 to 0.9, right with chance c - truth."""
    c = 0.5 + rng.integers(0, 5, (draws, n)) / 10
    return c, rng.random((draws, n)) < c - truth


MODELS = {"smooth": smooth, "discrete": discrete}


def coverage(model: str, truth: float, n: int, draws: int) -> float:
    c, y = MODELS[model](truth, draws, n, np.random.default_rng(11))
    found, reason = ece_interval(bins_of_answers(c, y, bin_of(c), 10))
    assert reason == ""
    assert ((found.low <= found.estimate) & (found.estimate <= found.high)).all()
    return float(((found.low <= truth) & (truth <= found.high)).mean())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("truth", "n"), [(0.0, 200), (0.07, 200), (0.3, 1000)])
def test_the_interval_holds_the_true_ece_in_95_percent(model: str, truth: float, n: int) -> None:
    assert 0.92 <= coverage(model, truth, n, 600) <= 0.98  # 95 +- 2, and 1 for the 600 draws


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("truth", [0.0, 0.03, 0.07, 0.15, 0.3])
def test_coverage_lies_within_two_points_on_the_whole_grid(model: str, truth: float, n: int) -> None:
    assert 0.93 <= coverage(model, truth, n, 4000) <= 0.97


def change_coverage(truths: tuple[float, float], n: int, draws: int) -> float:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(draws):
        sure, hard = rng.random(n), rng.random(n)  # the second model agrees with the first in half of the questions
        c = [sure, np.where(rng.random(n) < 0.5, sure, rng.random(n))]
        u = [hard, np.where(rng.random(n) < 0.5, hard, rng.random(n))]
        y = [u[i] < np.maximum(c[i] - 1 + np.sqrt(1 - 2 * truths[i]), 0) for i in range(2)]
        found, _ = ece_change_interval(tuple(c), tuple(y), (bin_of(c[0]), bin_of(c[1])), 10)
        hits += found.low <= truths[0] - truths[1] <= found.high
    return hits / draws


@pytest.mark.parametrize("truths", [(0.15, 0.0), (0.07, 0.07)])
def test_the_interval_of_the_change_holds_it_in_95_percent(truths: tuple[float, float]) -> None:
    assert 0.91 <= change_coverage(truths, 200, 300) <= 0.99  # 95 +- 2, and 2 for the 300 draws


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, 1000])
@pytest.mark.parametrize("truths", [(0, 0), (0.03, 0), (0.15, 0), (0.3, 0), (0.15, 0.07), (0.3, 0.3), (0.07, 0.15)])
def test_coverage_of_the_change_lies_within_two_points(truths: tuple[float, float], n: int) -> None:
    assert 0.925 <= change_coverage(truths, n, 2000) <= 0.98  # and 1 for the 2,000 draws


def test_one_bin_agrees_with_the_exact_binomial_interval_far_from_zero() -> None:
    # 1,000 answers state 0.9 and 600 are right: the true ECE is 0.9 - p, p within the binomial interval (0.569, 0.631)
    found, _ = ece_interval(bins_of_levels(np.array([0.9]), np.array([400.0]), np.array([600.0]), np.array([8]), 10))
    assert float(found.estimate) == pytest.approx(0.3, abs=1e-3)
    assert float(found.low) == pytest.approx(0.9 - 0.6305, abs=2e-3)
    assert float(found.high) == pytest.approx(0.9 - 0.5689, abs=2e-3)


def test_the_lower_end_is_zero_unless_calibration_is_rejected() -> None:
    levels = np.array([0.5]), np.array([5])  # one bin of 100 answers: the standard error of its gap is 0.05
    near, _ = ece_interval(bins_of_levels(levels[0], np.array([58.0]), np.array([42.0]), levels[1], 10))
    far, _ = ece_interval(bins_of_levels(levels[0], np.array([65.0]), np.array([35.0]), levels[1], 10))
    assert float(near.low) == 0.0  # binomial p-value of 42 or fewer or 58 or more: 0.13; of 35 or 65: 0.003
    # far from 0 the interval is that of a share, 0.5 - (0.257, 0.452)
    assert (float(far.low), float(far.high)) == pytest.approx((0.05, 0.24), abs=0.02)


def test_counts_per_level_and_answers_give_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    c = GRID[rng.integers(0, 11, 300)]
    y = rng.random(300) < c
    right = np.array([(y & (c == v)).sum() for v in GRID], float)
    wrong = np.array([(~y & (c == v)).sum() for v in GRID], float)
    a, _ = ece_interval(bins_of_answers(c, y, bin_of(c), 10))
    b, _ = ece_interval(bins_of_levels(GRID, wrong, right, bin_of(GRID), 10))
    assert float(a.low) == pytest.approx(float(b.low), abs=1e-9)
    assert float(a.high) == pytest.approx(float(b.high), abs=1e-9)


def test_too_few_answers_get_a_reason_and_no_interval() -> None:
    c = np.full(49, 0.5)
    found, reason = ece_interval(bins_of_answers(c, c > 0, bin_of(c), 10))
    assert found is None
    assert reason == "only 49 answers state a confidence; an interval of ECE needs 50"
    two, reason = ece_change_interval((c, c), (c > 0, c > 0), (bin_of(c), bin_of(c)), 10)
    assert two is None
    assert "49" in reason


def test_a_model_does_not_differ_from_itself() -> None:
    rng = np.random.default_rng(1)
    c = rng.random(400)
    y = rng.random(400) < c
    found, _ = ece_change_interval((c, c), (y, y), (bin_of(c), bin_of(c)), 10)
    assert found.estimate == 0.0
    assert found.low < 0 < found.high
    swapped = ece_change_interval((c, c**2), (y, y), (bin_of(c), bin_of(c**2)), 10)[0]
    back = ece_change_interval((c**2, c), (y, y), (bin_of(c**2), bin_of(c)), 10)[0]
    assert (swapped.low, swapped.high) == pytest.approx((-back.high, -back.low))


def test_missing_confidences_are_left_out_of_the_change() -> None:
    rng = np.random.default_rng(2)
    c, d = rng.random(300), rng.random(300)
    y, z = rng.random(300) < c, rng.random(300) < d**2
    whole, _ = ece_change_interval((c, d), (y, z), (bin_of(c), bin_of(d)), 10)
    more = [np.concatenate([x, np.full(50, np.nan)]) for x in (c, d)]
    verdicts = [np.concatenate([x, np.zeros(50, bool)]) for x in (y, z)]
    cells = [np.concatenate([bin_of(x), np.zeros(50, int)]) for x in (c, d)]
    padded, _ = ece_change_interval(tuple(more), tuple(verdicts), tuple(cells), 10)
    assert (padded.estimate, padded.low, padded.high) == pytest.approx((whole.estimate, whole.low, whole.high))


@pytest.mark.parametrize(("parameters", "bias"), [(KERNELS[1][1], 0.38), (KERNELS[2][1], 0.23), (CHANGE_KERNEL, 0.18)])
def test_the_kernel_estimates_an_absolute_value_with_little_bias(parameters: tuple, bias: float) -> None:
    """By a sum over x of its own, ten times finer; |x| itself is 0.8 too large at mu = 0."""
    f = kernel(*parameters)
    x = np.arange(-15, 15, 0.005)
    for mu in (0.0, 0.5, 1.0, 2.0, 4.0):
        density = norm.pdf(x - mu) * 0.005
        mean, square = float((density * f(x)).sum()), float((density * f(x) ** 2).sum())
        assert float(f.mean(mu)) == pytest.approx(mean, abs=4e-3)
        assert float(f.variance(mu)) == pytest.approx(square - mean**2, abs=0.02)
        assert abs(mean - mu) < bias
    assert float((norm.pdf(x) * 0.005 * kernel(0.0)(x)).sum()) == pytest.approx(np.sqrt(2 / np.pi), abs=1e-3)


def test_the_interval_of_a_change_is_the_quantile_of_a_folded_normal() -> None:
    rng = np.random.default_rng(8)
    c = rng.random((2, 300))
    pair = (tuple(c), tuple(rng.random((2, 300)) < c**1.5), (bin_of(c[0]), bin_of(c[1])), 10)
    found, _ = ece_change_interval(*pair, level=0.9)
    error = (found.high - found.estimate) / foldnorm.ppf(0.9, BIAS)
    wider, _ = ece_change_interval(*pair, level=0.99)
    assert wider.high - wider.estimate == pytest.approx(error * foldnorm.ppf(0.99, BIAS), rel=1e-12)
    assert ece_change_p_value(*pair) == pytest.approx(foldnorm.sf(abs(found.estimate) / error, BIAS), rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_non_negative_least_squares_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    free = int(rng.integers(1, 30))
    design, target = rng.normal(size=(free + seed, free)), rng.normal(size=free + seed)
    if seed % 3 == 0:
        design = np.abs(design)  # columns that are hard to tell apart
    found = non_negative(design, target)
    assert (found >= 0).all()
    assert np.linalg.norm(design @ found - target) == pytest.approx(nnls(design, target)[1], abs=1e-10)


def test_non_negative_least_squares_by_hand() -> None:
    # without the limit x = (2, -1); with x_2 = 0 the best x_1 is (2 + 1) / 2
    assert non_negative(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([2.0, 1.0])) == pytest.approx([1.5, 0.0])


def test_the_kernel_of_one_ece_rises_with_the_gap() -> None:
    for _, parameters in KERNELS:
        assert (np.diff(kernel(*parameters)(np.arange(0, 8, 0.01))) > 0).all()


def test_derivatives_of_the_kernel_are_those_of_its_mean() -> None:
    f = kernel(*CHANGE_KERNEL)
    step = 0.1
    for mu in (-1.5, 0.6, 2.0):
        slope = (float(f.mean(mu + step)) - float(f.mean(mu - step))) / (2 * step)
        bend = (float(f.mean(mu + step)) - 2 * float(f.mean(mu)) + float(f.mean(mu - step))) / step**2
        assert float(f.derivative(mu, 1)) == pytest.approx(slope, abs=0.02)
        assert float(f.derivative(mu, 2)) == pytest.approx(bend, abs=0.05)
