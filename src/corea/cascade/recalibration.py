"""Recalibration: a map from a confidence signal to the probability of being right, fitted on calibration questions.

It is fitted on one half of each dataset's calibration questions (by hash), and thresholds are chosen on the other half:
on questions whose verdicts the map has seen, a threshold looks better than it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from corea.answers.pairs import Pairs, split_by_hash
from corea.cascade.fitted_maps import FittedMap, apply, fit_isotonic, fit_platt
from corea.config.cascade_schema import CascadeConfig

FIT = "recalibration"
"""Split of the questions that a recalibration was fitted on."""
LEAST = 20
"""Fewest questions that a recalibration is fitted on."""


def recalibrated(pairs: Pairs, method: str, cfg: CascadeConfig) -> tuple[Pairs, dict[str, FittedMap]] | None:
    """The same questions with confidences mapped to probabilities, and the map of each dataset.

    None where a dataset has too few questions to fit on. `method` is isotonic or platt (fitted_maps.py).
    """
    known = pairs.split == cfg.calibration_split
    half = split_by_hash(pairs, 0.5, cfg.seed + 1, FIT, "").split == FIT
    fit = known & half & ~np.isnan(pairs.confidence)
    confidence = pairs.confidence.copy()
    maps: dict[str, FittedMap] = {}
    for dataset in dict.fromkeys(pairs.dataset):
        inside = pairs.dataset == dataset
        rows = inside & fit
        if rows.sum() < LEAST or len(np.unique(pairs.slm_correct[rows])) < 2:
            return None
        fit_map = fit_isotonic if method == "isotonic" else fit_platt
        maps[str(dataset)] = fit_map(cfg.signal, pairs.confidence[rows], pairs.slm_correct[rows])
        confidence[inside] = apply(maps[str(dataset)], {cfg.signal: pairs.confidence[inside]})
    split = pairs.split.copy()
    split[known & half] = FIT
    return replace(pairs, confidence=confidence, split=split), maps
