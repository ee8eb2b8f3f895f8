"""Recalibration: a map from a confidence signal to the probability of being right, fitted on calibration questions.

It is fitted on one half of each dataset's calibration questions (by hash), and thresholds are chosen on the other half:
on questions whose verdicts the map has seen, a threshold looks better than it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from corea.answers.pairs import Pairs, split_by_hash
from corea.config.cascade_schema import CascadeConfig

FIT = "recalibration"
"""Split of the questions that a recalibration was fitted on."""
LEAST = 20
"""Fewest questions that a recalibration is fitted on."""
EDGE = 1e-3
"""Platt scaling sees the logit of the confidence clipped to [EDGE, 1 - EDGE]."""


def recalibrated(pairs: Pairs, method: str, cfg: CascadeConfig) -> Pairs | None:
    """The same questions with confidences mapped to probabilities, dataset by dataset; None where too few to fit on.

    `method` is isotonic (a monotone step function) or platt (a logistic curve over the logit).
    """
    known = pairs.split == cfg.calibration_split
    half = split_by_hash(pairs, 0.5, cfg.seed + 1, FIT, "").split == FIT
    fit = known & half & ~np.isnan(pairs.confidence)
    confidence = pairs.confidence.copy()
    for dataset in dict.fromkeys(pairs.dataset):
        inside = pairs.dataset == dataset
        rows = inside & fit
        if rows.sum() < LEAST or len(np.unique(pairs.slm_correct[rows])) < 2:
            return None
        use = inside & ~np.isnan(pairs.confidence)
        model = _isotonic if method == "isotonic" else _platt
        values = model(pairs.confidence[rows], pairs.slm_correct[rows], pairs.confidence[use])
        confidence[use] = np.round(np.clip(values, 0, 1), 12)
    split = pairs.split.copy()
    split[known & half] = FIT
    return replace(pairs, confidence=confidence, split=split)


def _isotonic(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.isotonic import IsotonicRegression

    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y.astype(float)).predict(new)


def _platt(x: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    def logit(c: np.ndarray) -> np.ndarray:
        c = np.clip(c, EDGE, 1 - EDGE)
        return np.log(c / (1 - c))[:, None]

    if len(np.unique(x)) < 2:
        return np.full(len(new), y.mean())
    return LogisticRegression(C=1e6).fit(logit(x), y).predict_proba(logit(new))[:, 1]
