"""Intervals of the expected calibration error (ECE) that hold near 0, and of its change between two models.

The quantity. A confidence C, a verdict Y and fixed bins b = 1..B define the true ECE

    theta = sum over b of | E[ (C - Y) 1{C in bin b} ] |

of new questions like the sample's: what the plug-in ECE tends to with many questions. The plug-in ECE of n questions
lies above it (by about 0.07 at n = 200 where theta is 0), and the bootstrap adds the same bias once more.

The interval of one ECE is a test inverted over theta_0:
1. A hypothesis theta_0 fixes the size of the gaps; their relative sizes are the observed ones, shrunk towards 0 by
   empirical Bayes. The hypothesis also fixes each bin's accuracy, hence the variance of its gap.
2. The statistic is T = sum of s_b f(gap_b / s_b), s_b the standard error of the gap and f the kernel of ece_kernel.py,
   which has far less bias than |x|. So T depends little on the relative sizes, which the data hardly tell. With one
   bin, f is |x|.
3. T is compared with its mean, variance and skewness under theta_0 (normal with a Cornish-Fisher term).
4. Tails are split as by Feldman and Cousins (arXiv physics/9711021): at theta_0 = 0 the test is one-sided, far from 0
   it has equal tails. The interval is never empty, and its lower end is 0 unless the data reject theta = 0.

The plug-in ECE may lie above the interval; `estimate` never does. Coverage by simulation: docs/intervals.md.
Legend: B bins, K levels, N questions; ... are data sets that are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from corea.metrics.ece_kernel import Kernel, kernel

Array = np.ndarray
LEAST = 50
"""Fewer answers get no interval."""
KERNELS = ((1.5, (0.0, 1.0, None)), (4.0, (30.0, 1.0, 0.5)), (np.inf, (300.0, 20.0, 0.5)))
"""Effective bins at most, and arguments of ece_kernel.kernel. More bins need less bias, as it adds up over them."""
HALVINGS = 32
"""Steps of bisection for either end."""


@dataclass(slots=True, kw_only=True)
class Interval:
    """Interval of the true value. Arrays [...], or floats for one data set."""

    estimate: Array | float
    """The theta under which T equals its mean, at least 0; of a change: T_1 - T_2."""
    low: Array | float
    high: Array | float


@dataclass(slots=True, kw_only=True)
class Bins:
    """What the answers of each bin say. [..., B] each."""

    size: Array
    """Answers."""
    gap: Array
    """Mean of confidence - verdict; 0 in an empty bin."""
    confidence: Array
    """Mean confidence."""
    spread: Array
    """Variance of the confidence."""
    noise: Array
    """Variance of confidence - verdict, drawn towards that of a calibrated bin by one pseudo-answer."""

    @property
    def weight(self) -> Array:
        """Share of the answers."""
        return self.size / self.size.sum(-1, keepdims=True)


def bins_of_levels(value: Array, wrong: Array, right: Array, bin_of: Array, bins: int) -> Bins:
    """Bins from counts: `value` [K], `wrong` and `right` [..., K], `bin_of` [K] in 0..bins - 1."""
    member = (np.asarray(bin_of)[:, None] == np.arange(bins)).astype(np.float64)
    wrong, right = np.asarray(wrong, np.float64), np.asarray(right, np.float64)
    size = wrong + right
    sums = (v @ member for v in (size, right, size * value, size * value**2, right * value))
    return _bins(*sums)


def bins_of_answers(confidence: Array, correct: Array, bin_of: Array, bins: int) -> Bins:
    """Bins from answers: `confidence`, `correct` and `bin_of` [..., N]; no missing confidence."""
    c, y = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    size, right, total, square, both = (_per_bin(v, bin_of, bins) for v in (np.ones_like(c), y, c, c * c, c * y))
    return _bins(size, right, total, square, both)


def _per_bin(values: Array, bin_of: Array, bins: int) -> Array:
    """[..., bins] sums of `values` [..., N]."""
    lead = values.shape[:-1]
    rows = int(np.prod(lead))
    cell = np.asarray(bin_of).reshape(rows, -1) + bins * np.arange(rows)[:, None]
    return np.bincount(cell.ravel(), values.ravel(), rows * bins).reshape(*lead, bins)


def _bins(size: Array, right: Array, total: Array, square: Array, both: Array) -> Bins:
    """From sums over the answers of each bin: 1, verdict, confidence, confidence^2, confidence x verdict."""
    n = np.maximum(size, 1)
    gap, confidence = (total - right) / n, total / n
    second = (square - 2 * both + right) / n  # mean of (confidence - verdict)^2
    prior = np.clip(confidence, 0.05, 0.95)
    noise = (np.maximum(second - gap**2, 0) * size + prior * (1 - prior)) / (size + 1)
    spread = np.maximum(square / n - confidence**2, 0)
    return Bins(size=size, gap=gap, confidence=confidence, spread=spread, noise=noise)


def ece_interval(bins: Bins, level: float = 0.95) -> tuple[Interval | None, str]:
    """Interval of the true ECE, or None and the reason. [...]"""
    reason = too_few(bins)
    if reason:
        return None, reason
    shape = bins.size.shape[:-1]
    flat = _rows(bins, np.arange(int(np.prod(shape))))
    ends = np.zeros((3, len(flat.size)))
    tier = np.searchsorted([most for most, _ in KERNELS], effective_bins(flat))
    for k in np.unique(tier):
        rows = np.flatnonzero(tier == k)
        ends[:, rows] = _invert(_rows(flat, rows), kernel(*KERNELS[k][1]), level)
    estimate, low, high = (e.reshape(shape) for e in ends)
    return Interval(estimate=estimate, low=np.minimum(low, estimate), high=np.maximum(high, estimate)), ""


def _rows(bins: Bins, rows: Array) -> Bins:
    """Some of the data sets, their axes made one."""
    names = ("size", "gap", "confidence", "spread", "noise")
    return Bins(**{name: getattr(bins, name).reshape(-1, bins.size.shape[-1])[rows] for name in names})


def effective_bins(bins: Bins) -> Array:
    """(sum s)^2 / sum s^2 of the standard errors s of the gaps: B where all are equal, 1 where one dominates. [...]"""
    error = np.sqrt(bins.weight * bins.noise)
    return error.sum(-1) ** 2 / (error**2).sum(-1)


def _invert(bins: Bins, of: Kernel, level: float) -> Array:
    """Estimate, lower and upper end. [3, ...]"""
    unit = unit_gaps(bins)
    bends, below, above = _unified(level)

    def before(theta: Array) -> Array:  # [3, ...]: theta is below the estimate, below the interval, not above it
        deviation, distance = _score(bins, unit, theta, of)
        too_low = deviation[1] > np.interp(distance[1], bends, above)
        not_too_high = deviation[2] >= np.interp(distance[2], bends, below)
        return np.stack([deviation[0] > 0, too_low, not_too_high])

    return _last(before, (3, *bins.size.shape[:-1]))


def too_few(*models: Bins) -> str:
    """Why there is no interval; empty where there is one."""
    least = min(float(np.min(m.size.sum(-1))) for m in models)
    return f"only {least:.0f} answers state a confidence; an interval of ECE needs {LEAST}" if least < LEAST else ""


def _last(holds: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
    """The last theta in [0, 1] at which `holds` (true, then false) is true; 0 where it never is. [...]"""
    low, high = np.zeros(shape), np.ones(shape)
    low_holds = holds(low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        true = holds(middle) & low_holds
        low, high = np.where(true, middle, low), np.where(true, high, middle)
    return np.where(low_holds, low, 0.0)


def unit_gaps(bins: Bins) -> Array:
    """Relative sizes of the gaps: shrunken weighted gaps that add up to 1 in absolute value. [..., B]

    Normal prior N(0, tau^2) for the gaps, tau^2 by moments. Equal gaps away from the nearer end where nothing is left.
    """
    filled, weight = bins.size > 0, bins.weight
    error = bins.noise / np.maximum(bins.size, 1)
    between = np.maximum((weight * (bins.gap**2 - error)).sum(-1, keepdims=True), 0)
    shrunk = weight * bins.gap * between / np.maximum(between + error, 1e-300)
    total = np.abs(shrunk).sum(-1, keepdims=True)
    flat = weight * np.where(bins.confidence >= 0.5, 1.0, -1.0) * filled
    return np.where(total > 1e-9, shrunk / np.maximum(total, 1e-300), flat)


def _score(bins: Bins, unit: Array, theta: Array, of: Kernel) -> tuple[Array, Array]:
    """Standardised T under theta [...], and how many standard errors its mean lies above that under 0. [...] each"""
    filled, weight = bins.size > 0, bins.weight
    gaps = theta[..., None] * unit
    accuracy = np.clip(bins.confidence - gaps / np.where(filled, weight, 1), 0, 1)
    noise = np.maximum(accuracy * (1 - accuracy) - bins.spread, 0)
    error = np.where(filled, weight * np.sqrt(noise / np.maximum(bins.size, 1)), 0)
    sure = error < 1e-9  # no noise: the gap itself
    safe = np.where(sure, 1.0, error)
    statistic = np.where(sure, np.abs(weight * bins.gap), error * of(weight * bins.gap / safe)).sum(-1)
    scaled = gaps / safe
    mean = np.where(sure, np.abs(gaps), error * of.mean(scaled)).sum(-1)
    at_zero = (error * of.mean(np.zeros(1))).sum(-1)
    variance = (error**2 * of.variance(scaled)).sum(-1) + share_variance(bins, gaps)
    scale = np.maximum(np.sqrt(variance), 1e-9)
    skew = (error**3 * of.third(scaled)).sum(-1) / scale**3
    distance = np.where(theta > 0, np.maximum((mean - at_zero) / scale, 0), 0)
    return _without_skew((statistic - mean) / scale, skew), distance


def share_variance(bins: Bins, gaps: Array) -> Array:
    """Variance of sum |gap| because the share of answers in each bin varies. [...]"""
    weight = np.where(bins.size > 0, bins.weight, 1)
    size = bins.size.sum(-1)
    return np.maximum((gaps**2 / weight).sum(-1) - np.abs(gaps).sum(-1) ** 2, 0) / size


def _without_skew(x: Array, skew: Array) -> Array:
    """y with x = y + skew (y^2 - 1) / 6 (Cornish and Fisher): standard normal to first order if x is standardised."""
    a = skew / 6
    safe = np.where(np.abs(a) < 1e-6, 1.0, a)
    return np.where(np.abs(a) < 1e-6, x, (np.sqrt(np.maximum(1 + 4 * safe * (safe + x), 0)) - 1) / (2 * safe))


@lru_cache(maxsize=8)
def _unified(level: float) -> tuple[Array, Array, Array]:
    """Feldman and Cousins: for a normal X with mean m >= 0, where X - m lies with probability `level`.

    m [401], lower and upper end [401]: values of X with the largest ratio of the likelihood to its maximum over m >= 0.
    """
    m = np.linspace(0, 4, 401)
    low, high = np.zeros(len(m)), np.full(len(m), 10.0)
    for _ in range(60):
        cut = (low + high) / 2  # of -2 log ratio
        lower = _lower_end(m, cut)
        enough = ndtr(np.sqrt(cut)) - ndtr(lower) >= level
        low, high = np.where(enough, low, cut), np.where(enough, cut, high)
    below, above = _lower_end(m, high), np.sqrt(high)
    below[0], above[0] = -1e9, ndtri(level)
    return m, below, above


def _lower_end(m: Array, cut: Array) -> Array:
    root = np.sqrt(cut)
    return np.where(m >= root, -root, (m**2 - cut) / np.maximum(2 * m, 1e-12) - m)
