"""Calibration metrics of a confidence, as functions of counts per confidence level.

Legend: K levels with confidence `value` [K] ascending; `wrong` and `right` [..., K] count the answers of each level.
Leading axes are bootstrap resamples, so a figure and its interval come from the same code. Counting per level makes
ties exact and the order of rows irrelevant. No figure includes missing confidences; they are counted
separately. `measure(confidence, correct)` takes plain arrays.

ECE bins, by name (`edges`):
- "lower" (default): a bin includes its lower edge, the last bin both; 0.3 lies in the bin that starts at 0.3. Edges are
  j/B rounded once, the same double that the text 0.3 becomes.
- "upper": a bin includes its upper edge, as in Guo et al. (arXiv 1706.04599) and netcal.
- "linspace": "lower" with the edges of numpy.linspace, some of which lie just above the decimal (0.30000000000000004),
  so that 0.3, 0.6 and 0.7 fall one bin low. Several published evaluations do this (RLCR, arXiv 2507.16806).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd

Array = np.ndarray
EDGES = ("lower", "upper", "linspace")
TINY = float(np.finfo(np.float64).eps)
"""Log loss clips probabilities to [TINY, 1 - TINY], as scikit-learn does."""


def bin_edges(bins: int, edges: str = "lower") -> Array:
    """[B+1] edges of equal-width bins."""
    return np.linspace(0, 1, bins + 1) if edges == "linspace" else np.arange(bins + 1) / bins


def equal_width(value: Array, bins: int, edges: str = "lower") -> Array:
    """[K] bin of each confidence, 0 to bins - 1."""
    side: Literal["left", "right"] = "left" if edges == "upper" else "right"
    return np.clip(np.searchsorted(bin_edges(bins, edges), value, side=side) - 1, 0, bins - 1)


def equal_mass(size: Array, bins: int) -> Array:
    """[K] bin of each level, with about as many answers per bin; a level belongs to the bin of its middle answer."""
    middle = np.cumsum(size) - size / 2
    return np.minimum((middle * bins // max(size.sum(), 1)).astype(np.int64), bins - 1)


def in_bins(per_level: Array, bin_of: Array, bins: int) -> Array:
    """[..., B] sums over the levels [..., K] of each bin."""
    member = (bin_of[:, None] == np.arange(bins)).astype(np.float64)
    return per_level @ member


def _ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, NaN where bottom is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def _gaps(value: Array, wrong: Array, right: Array, bin_of: Array, bins: int) -> tuple[Array, Array, Array]:
    """Answers, accuracy and (confidence - accuracy) of each bin [..., B]; the latter two 0 in an empty bin."""
    size = in_bins(wrong + right, bin_of, bins)
    accuracy = in_bins(right, bin_of, bins) / np.maximum(size, 1)
    confidence = in_bins((wrong + right) * value, bin_of, bins) / np.maximum(size, 1)
    return size, accuracy, confidence - accuracy


def ece(value: Array, wrong: Array, right: Array, bin_of: Array, bins: int) -> Array:
    """Expected calibration error: mean over answers of |confidence - accuracy| of their bin. [...]"""
    size, _, gap = _gaps(value, wrong, right, bin_of, bins)
    return _ratio((size * np.abs(gap)).sum(-1), size.sum(-1))


def ece_debiased(value: Array, wrong: Array, right: Array, bin_of: Array, bins: int) -> Array:
    """ECE minus the bias of |gap| from finite bins; may be negative (Kumar et al., arXiv 1909.10155, section 5). [...]

    The source samples each bin's accuracy from N(accuracy, accuracy (1 - accuracy) / n); the mean of |gap| under that
    distribution (folded normal) is known in closed form, so nothing is sampled here.
    """
    from scipy.special import erf

    size, accuracy, gap = _gaps(value, wrong, right, bin_of, bins)
    spread = np.sqrt(accuracy * (1 - accuracy) / np.maximum(size, 1))
    scaled = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(scaled**2) / 2) + gap * erf(scaled / np.sqrt(2))
    folded = np.where(spread > 0, folded, np.abs(gap))
    return _ratio((size * (2 * np.abs(gap) - folded)).sum(-1), size.sum(-1))


def brier(value: Array, wrong: Array, right: Array) -> Array:
    """Mean squared distance between confidence and verdict. [...]"""
    return _ratio(wrong @ value**2 + right @ (1 - value) ** 2, (wrong + right).sum(-1))


def brier_parts(value: Array, wrong: Array, right: Array, bin_of: Array, bins: int) -> dict[str, Array]:
    """Murphy's decomposition over the bins: brier = reliability - resolution + uncertainty + within. [...] each.

    "within" is the part due to different confidences in one bin (Stephenson et al. 2008); 0 if they are equal.
    """
    size, accuracy, gap = _gaps(value, wrong, right, bin_of, bins)
    total = size.sum(-1)
    base = _ratio(right.sum(-1), total)
    reliability = _ratio((size * gap**2).sum(-1), total)
    resolution = _ratio((size * (accuracy - base[..., None]) ** 2).sum(-1), total)
    uncertainty = base * (1 - base)
    return {
        "brier_reliability": reliability,
        "brier_resolution": resolution,
        "brier_uncertainty": uncertainty,
        "brier_within": brier(value, wrong, right) - (reliability - resolution + uncertainty),
    }


def log_loss(value: Array, wrong: Array, right: Array) -> Array:
    """Mean of -ln of the probability given to the observed verdict; a wrong confidence of 0 or 1 costs 36. [...]"""
    p = np.clip(value, TINY, 1 - TINY)
    return _ratio(-(right @ np.log(p)) - wrong @ np.log1p(-p), (wrong + right).sum(-1))


def auroc(wrong: Array, right: Array) -> Array:
    """Probability that a correct answer has a higher confidence than a wrong one, ties half; NaN without both. [...]"""
    below = np.cumsum(wrong, -1, dtype=np.float64) - wrong
    wins = (right * (below + wrong / 2)).sum(-1)
    return _ratio(wins, right.sum(-1, dtype=np.float64) * wrong.sum(-1))


def aurc(wrong: Array, right: Array) -> Array:
    """Area under the risk-coverage curve: mean over k = 1..N of the error rate among the k most confident. [...]

    Geifman and El-Yaniv 2017. Within a tie, k runs over the expected number of errors of a random order.
    """
    from scipy.special import digamma

    size = (wrong + right)[..., ::-1].astype(np.float64)
    errors = wrong[..., ::-1].astype(np.float64)
    kept = np.cumsum(size, -1) - size
    errors_before = np.cumsum(errors, -1) - errors
    rate = np.divide(errors, size, out=np.zeros_like(errors), where=size > 0)
    # sum over j = 1..m of (E + rate j) / (M + j), with M kept and E errors among them
    harmonic = digamma(kept + size + 1) - digamma(kept + 1)
    area = (rate * size + (errors_before - rate * kept) * harmonic).sum(-1)
    return _ratio(area, size.sum(-1))


def best_aurc(wrong: Array, right: Array) -> Array:
    """AURC of a perfect ranking at the same accuracy. [...]"""
    from scipy.special import digamma

    correct, total = right.sum(-1, dtype=np.float64), (wrong + right).sum(-1, dtype=np.float64)
    return _ratio(total - correct - correct * (digamma(total + 1) - digamma(correct + 1)), total)


def all_metrics(
    value: Array, wrong: Array, right: Array, bins: int = 10, edges: str = "lower", mass_of: Array | None = None
) -> dict[str, Array]:
    """Every figure of this module, [...] each. `mass_of` [K]: equal-mass bins to keep fixed; None: computed here."""
    width_of = equal_width(value, bins, edges)
    mass_of = equal_mass(wrong + right, bins) if mass_of is None else mass_of
    risk = aurc(wrong, right)
    total = (wrong + right).sum(-1)
    mean = _ratio((wrong + right) @ value, total)
    return {
        "ece": ece(value, wrong, right, width_of, bins),
        "ece_equal_mass": ece(value, wrong, right, mass_of, bins),
        "ece_debiased": ece_debiased(value, wrong, right, width_of, bins),
        "brier": brier(value, wrong, right),
        **brier_parts(value, wrong, right, width_of, bins),
        "log_loss": log_loss(value, wrong, right),
        "auroc": auroc(wrong, right),
        "aurc": risk,
        "excess_aurc": risk - best_aurc(wrong, right),
        "mean_confidence": mean,
        "std_confidence": np.sqrt(np.maximum(_ratio((wrong + right) @ value**2, total) - mean**2, 0.0)),
    }


def measure(confidence: Array, correct: Array, bins: int = 10, edges: str = "lower") -> dict[str, float]:
    """Every figure of answers [N] with `confidence` (NaN: missing, left out) and `correct` (bool)."""
    confidence, correct = np.asarray(confidence, np.float64), np.asarray(correct) == 1
    given = ~np.isnan(confidence)
    value, level = np.unique(confidence[given], return_inverse=True)
    right = np.bincount(level, weights=correct[given], minlength=len(value))
    wrong = np.bincount(level, minlength=len(value)) - right
    figures = {name: float(v) for name, v in all_metrics(value, wrong, right, bins, edges).items()}
    return {"accuracy": float(correct.mean()) if len(correct) else float("nan"), **figures}


def reliability(
    value: Array, wrong: Array, right: Array, bins: int, edges: str = "lower", level: float = 0.95
) -> pd.DataFrame:
    """Reliability diagram as numbers, one row per bin that holds answers.

    Columns: lower, upper, n, confidence, accuracy, low, high (Wilson interval of the accuracy at `level`).
    """
    bin_of = equal_width(value, bins, edges)
    n, hits = (in_bins(x, bin_of, bins) for x in (wrong + right, right))
    mean = in_bins((wrong + right) * value, bin_of, bins) / np.maximum(n, 1)
    low, high = wilson(hits, n, level)
    ends = np.arange(bins + 1) / bins
    table = pd.DataFrame(
        {
            "lower": ends[:-1],
            "upper": ends[1:],
            "n": n.astype(int),
            "confidence": mean,
            "accuracy": hits / np.maximum(n, 1),
            "low": low,
            "high": high,
        }
    )
    return table[table["n"] > 0].reset_index(drop=True)


def wilson(right: Array, n: Array, level: float = 0.95) -> tuple[Array, Array]:
    """Wilson score interval of a share; valid also if all or none are correct."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    n = np.maximum(n, 1e-12)
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def histogram(value: Array, wrong: Array, right: Array, most: int = 41) -> pd.DataFrame:
    """Right and wrong answers by confidence: per value up to `most` values, else in `most` - 1 bins.

    Columns: confidence, width, right, wrong.
    """
    if len(value) <= most:
        gap = np.diff(value).min() if len(value) > 1 else 0.1
        width = np.full(len(value), min(max(float(gap) * 0.9, 0.004), 0.08))
        return pd.DataFrame({"confidence": value, "width": width, "right": right, "wrong": wrong})
    bin_of = equal_width(value, most - 1)
    right, total = (in_bins(x, bin_of, most - 1) for x in (right, wrong + right))
    middle = (np.arange(most - 1) + 0.5) / (most - 1)
    return pd.DataFrame({"confidence": middle, "width": 1 / (most - 1), "right": right, "wrong": total - right})
