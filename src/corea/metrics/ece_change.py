"""Interval of the change of ECE between two models on the same questions.

The change is theta_1 - theta_2 (true ECEs as in ece_interval.py), estimated by T_1 - T_2, where T is the sum of
s_b f(gap_b / s_b) with the kernel f (ece_kernel.py) of least bias. The biases of the two models do not cancel where
only one of them is calibrated; up to BIAS standard errors remain, so the interval is estimate +- the `level` quantile
of |N(BIAS, 1)| standard errors (Armstrong and Kolesar, arXiv 1606.01200). The covariance of T_1 and T_2 comes from the
questions: first order from the influence of each question, higher orders from the correlation of the bins' gaps.
Legend: B bins, N questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from scipy.special import ndtr

from corea.metrics.ece_interval import (
    KERNELS,
    Bins,
    Interval,
    bins_of_answers,
    effective_bins,
    share_variance,
    too_few,
    unit_gaps,
)
from corea.metrics.ece_kernel import ORDERS, Kernel, kernel

Array = np.ndarray
MANY = 4.0
"""Effective bins from which the kernel is CHANGE_KERNEL; below, ece_interval.KERNELS."""
CHANGE_KERNEL = (1000.0, 3.0)
"""Least bias, at the price of more variance; f does not rise everywhere. Arguments of ece_kernel.kernel."""
BIAS = 0.25
"""Bias that the interval allows for, in standard errors of the change."""


@dataclass(slots=True, kw_only=True)
class _Part:
    """One model's share of a change."""

    total: float
    """T."""
    variance: float
    error: Array
    """[B] standard errors of the gaps."""
    scaled: Array
    """[B] shrunken gaps in standard errors."""
    influence: Array
    """[N] first-order effect of each question on T, times N; 0 where it states no confidence."""
    residual: Array
    """[N] confidence - verdict less its bin's mean, over the answers; 0 where no confidence is stated."""


def ece_change_interval(
    confidence: tuple[Array, Array],
    correct: tuple[Array, Array],
    bin_of: tuple[Array, Array],
    bins: int,
    level: float = 0.95,
) -> tuple[Interval | None, str]:
    """Interval of (true ECE of the first model) - (of the second) on the same questions, or None and the reason.

    `confidence`, `correct`, `bin_of`: [N] of either model, question by question; NaN is a missing confidence.
    """
    estimate, error, reason = _change(confidence, correct, bin_of, bins)
    if reason:
        return None, reason
    half = _folded_quantile(level) * error
    return Interval(estimate=estimate, low=max(estimate - half, -1.0), high=min(estimate + half, 1.0)), ""


def ece_change_p_value(
    confidence: tuple[Array, Array], correct: tuple[Array, Array], bin_of: tuple[Array, Array], bins: int
) -> float:
    """1 - the highest level whose interval excludes 0; NaN where there is no interval. As ece_change_interval."""
    estimate, error, reason = _change(confidence, correct, bin_of, bins)
    return float("nan") if reason else float(_folded_tail(abs(estimate) / error))


def ece_interval_p_value(low: float, high: float, level: float) -> float:
    """1 - the highest level whose interval excludes 0, of the same change whose interval at `level` is given.

    Of several changes with averaged ends, that of their mean. NaN where there is no interval.
    """
    half = (high - low) / 2
    return float(_folded_tail(abs(high + low) / 2 / half * _folded_quantile(level))) if half > 0 else float("nan")


def _folded_tail(x: Array | float) -> Array | float:
    """Probability that |N(BIAS, 1)| is above `x` >= 0. scipy.stats has it too, but takes half a second to import."""
    return ndtr(BIAS - x) + ndtr(-BIAS - x)


def _folded_quantile(level: float) -> float:
    """The value below which |N(BIAS, 1)| lies with probability `level`, by bisection to the last digit."""
    low, high = 0.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _folded_tail(middle) > 1 - level else (low, middle)
    return (low + high) / 2


def _change(
    confidence: tuple[Array, Array], correct: tuple[Array, Array], bin_of: tuple[Array, Array], bins: int
) -> tuple[float, float, str]:
    """Estimate, its standard error, and why there is none."""
    given = [~np.isnan(np.asarray(c, np.float64)) for c in confidence]
    models = [
        bins_of_answers(np.asarray(c)[g], np.asarray(y)[g], np.asarray(b)[g], bins)
        for c, y, b, g in zip(confidence, correct, bin_of, given, strict=True)
    ]
    reason = too_few(*models)
    if reason:
        return np.nan, np.nan, reason
    kernels = [_kernel_of(m) for m in models]
    first, second = (
        _part(m, np.asarray(c, np.float64), np.asarray(y, np.float64), np.asarray(b), g, f)
        for m, c, y, b, g, f in zip(models, confidence, correct, bin_of, given, kernels, strict=True)
    )
    shared = float((first.influence * second.influence).sum())
    ends = [np.where(g, np.asarray(b), 0) for g, b in zip(given, bin_of, strict=True)]
    cell = ends[0] * bins + ends[1]
    joint = np.bincount(cell, first.residual * second.residual, bins * bins).reshape(bins, bins)
    scale = np.outer(first.error, second.error)
    correlation = np.clip(np.divide(joint, scale, out=np.zeros_like(joint), where=scale > 0), -1, 1)
    for k in range(2, ORDERS + 1):
        both = np.outer(kernels[0].derivative(first.scaled, k), kernels[1].derivative(second.scaled, k))
        shared += float((scale * correlation**k * both).sum()) / factorial(k)
    variance = max(first.variance + second.variance - 2 * shared, 1e-12)
    return first.total - second.total, float(np.sqrt(variance)), ""


def _kernel_of(bins: Bins) -> Kernel:
    number = float(effective_bins(bins))
    if number > MANY:
        return kernel(*CHANGE_KERNEL)
    return kernel(*KERNELS[int(np.searchsorted([most for most, _ in KERNELS], number))][1])


def _part(bins: Bins, confidence: Array, correct: Array, bin_of: Array, given: Array, of: Kernel) -> _Part:
    filled, weight = bins.size > 0, bins.weight
    error = np.where(filled, weight * np.sqrt(bins.noise / np.maximum(bins.size, 1)), 0)
    safe = np.where(filled, error, 1.0)
    total = float((error * of(weight * bins.gap / safe)).sum())
    theta = max(total, 0.0)
    gaps = theta * unit_gaps(bins)
    scaled = gaps / safe
    size = float(bins.size.sum())
    at = np.where(given, bin_of, 0)
    residual = np.where(given, np.nan_to_num(confidence) - correct - bins.gap[at], 0.0) / size
    sizes = np.abs(gaps) / np.where(filled, weight, 1)
    influence = of.derivative(scaled, 1)[at] * residual + np.where(given, (sizes[at] - theta) / size, 0.0)
    return _Part(
        total=total,
        variance=float((error**2 * of.variance(scaled)).sum() + share_variance(bins, gaps)),
        error=error,
        scaled=scaled,
        influence=influence,
        residual=residual,
    )
