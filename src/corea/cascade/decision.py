"""The decision of a cascade: keep an answer, or defer the question to the next tier.

A question is deferred when its confidence is below the threshold. A missing confidence (NaN) is always deferred. The
sweep over all thresholds, the rules and a live cascade share this one definition.
"""

from __future__ import annotations

import numpy as np

from corea.cascade.operating_point import DatasetPoint
from corea.errors import UserError

EVERYTHING = 1.01
"""The threshold above every confidence: all questions are deferred."""


def deferred(confidence: np.ndarray | float, threshold: np.ndarray | float) -> np.ndarray:
    """True where a question is deferred. `confidence` (NaN is missing) and `threshold` broadcast."""
    return ~(np.asarray(confidence, np.float64) >= threshold)


def deferred_count(ascending: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    """How many of the `ascending` confidences [K] (missing ones first) each threshold [...] defers.

    Bisection on `deferred`: the deferred confidences are the first ones, since missing and low ones come first.
    """
    threshold = np.asarray(threshold, np.float64)
    low, high = np.zeros(threshold.shape, np.int64), np.full(threshold.shape, len(ascending))
    while (low < high).any():
        middle = (low + high) // 2
        below = deferred(ascending[np.minimum(middle, len(ascending) - 1)], threshold) & (low < high)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low


def decide(confidence: np.ndarray | float, point: DatasetPoint, position: int = 0) -> np.ndarray:
    """True where the answer of the tier at `position` of the chain is kept, False where it is deferred.

    Args:
        confidence: [...] the signal that `point` was chosen with, NaN missing.
        point: operating point of a dataset.
        position: index in the chain; the last tier is always kept.

    Raises:
        UserError: the operating point holds no threshold.
    """
    if point.thresholds is None:
        raise UserError(
            f"operating point of {point.dataset}: no threshold: {point.rule.get('note') or 'none was found'}"
        )
    if position >= len(point.thresholds):
        return np.ones(np.shape(confidence), bool)
    return ~deferred(confidence, point.thresholds[position])
