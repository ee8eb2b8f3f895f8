"""The part of the calibration questions on which signals and maps are fitted.

A fitted signal (probe, router, combined) or map (isotonic, Platt) depends on the verdicts of the questions that it is
fitted on, so its scores of them are not exchangeable with those of new questions. It is fitted on half of the
calibration questions; thresholds are chosen on the other half, whose scores are exchangeable with those of new
questions. In a table, questions of the split FITTED are for fitting alone; they need no answer of the last tier.
"""

from __future__ import annotations

import hashlib

import numpy as np

from corea.config.allowed_names import KINDS

FITTED_SIGNALS = (*(kind.name for kind in KINDS if kind.fitted), "combined")
"""Signals that are fitted on verdicts: probe and router while answers are collected, combined by the evaluation."""
FITTED = "fit"
"""Split of the calibration questions that a signal is fitted on."""
SALT = "corea fit part"


def is_fit_part(dataset: str, question_id: str) -> bool:
    """True for about half of all questions, by a hash of dataset and question alone: collect and evaluate agree."""
    digest = hashlib.blake2b(f"{SALT}\0{dataset}\0{question_id}".encode(), digest_size=8).digest()
    return digest[0] < 128


def fit_part(datasets: np.ndarray, question_ids: np.ndarray) -> np.ndarray:
    """[N] bool: `is_fit_part` of each question."""
    keys = zip(datasets, question_ids, strict=True)
    return np.fromiter((is_fit_part(str(d), str(q)) for d, q in keys), bool, len(question_ids))
