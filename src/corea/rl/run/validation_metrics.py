"""Metrics of validation answers. Pure; imports no torch.

Legend: N answers, one per question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from corea.metrics.calibration import bin_edges, equal_width, measure
from corea.types import Group, Status

SHOWN_SHARES = 20
"""Number of confidence values whose share is logged: the most frequent ones."""


def confidences_and_verdicts(groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """(confidence [N], NaN where missing or the answer was cut off, as in a cascade; correct [N] bool) of all
    rollouts."""
    rollouts = [r for g in groups for r in g.rollouts]
    confidence = [
        np.nan if r.parsed.confidence is None or r.parsed.status is Status.TRUNCATED else r.parsed.confidence
        for r in rollouts
    ]
    return np.array(confidence, np.float64), np.array([r.correct == 1.0 for r in rollouts])


def validation_metrics(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Metrics of [N] answers; `share/0.80` is the share of answers with that confidence."""
    calibration = measure(confidence, correct)
    values, counts = np.unique(np.round(confidence[~np.isnan(confidence)], 2), return_counts=True)
    most_frequent = np.sort(np.argsort(-counts, kind="stable")[:SHOWN_SHARES])
    return {
        "pass@1": correct.mean(),
        "ece": calibration["ece"],
        "brier": calibration["brier"],
        "auroc": calibration["auroc"],
        "cascade_area": cascade_area(confidence, correct),
        "missing_confidence_share": np.isnan(confidence).mean(),
        **{f"share/{values[k]:.2f}": counts[k] / len(confidence) for k in most_frequent},
    }


def cascade_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Area between the cascade's accuracy over its deferral rate and that of random deferral, in accuracy points.

    Questions are deferred in order of confidence, the lowest first; missing confidences come before all, ties in random
    order (the mean over orders is used). An LLM that is right with the same probability on every question adds the same
    to both curves and cancels out: the area is computed from the share of all questions that the SLM still
    answers correctly. Positive if the confidence ranks better than chance; equal to
    accuracy x (1 - accuracy) x (AUROC - 1/2) if none is missing.
    """
    rank = np.where(np.isnan(confidence), -1.0, confidence)
    levels, index = np.unique(rank, return_inverse=True)
    deferred = np.concatenate([[0.0], np.cumsum(np.bincount(index, minlength=len(levels)))]) / len(rank)
    lost = np.concatenate([[0.0], np.cumsum(np.bincount(index, weights=correct, minlength=len(levels)))]) / len(rank)
    gain = correct.mean() * deferred - lost  # over random deferral, whose loss is proportional to the deferral rate
    return float(np.trapezoid(gain, deferred))


def reliability_table(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Columns left, right, answers, confidence, accuracy: one row per non-empty bin."""
    given = ~np.isnan(confidence)
    edges = bin_edges(bins)
    frame = pd.DataFrame(
        {
            "bin": equal_width(confidence[given], bins),
            "confidence": confidence[given],
            "accuracy": correct[given].astype(float),
        }
    )
    table = frame.groupby("bin").agg(
        answers=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    table.insert(0, "right", edges[table.index + 1])
    table.insert(0, "left", edges[table.index])
    return table.reset_index(drop=True)
