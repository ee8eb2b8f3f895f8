"""Thresholds with a promise on new questions: Learn-then-Test (Angelopoulos et al., arXiv 2110.01052) through MAPIE.

Two promises, each kept with probability 1 - alpha over the draw of the calibration questions:
- "loss": on at most a share delta of the questions, the kept answer of the small model is wrong and the large model's
  is right. Questions that only the small model gets right do not count in return, so the cascade's accuracy is at
  least the LLM's minus delta. The loss is monotone in the threshold: testing downwards from the highest threshold
  needs no correction for the number of thresholds.
- "kept_accuracy": at least this share of the kept answers is correct. This is not monotone, so testing starts at
  STARTS thresholds, each with alpha / STARTS.

Candidate thresholds are a grid that does not depend on the calibration questions, as the theory requires. The promise
holds for new questions that are exchangeable with the calibration questions, not for other traffic.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from corea.cascade.decision import deferred
from corea.metrics.levels import LLM_ONLY, SLM_ONLY, Levels

GRID = np.arange(101) / 100
STARTS = 5
MOST = 50_000
"""Most calibration questions used, since MAPIE allocates questions x thresholds; more hardly change the threshold."""
FAR = 10_000_000
"""Above this, give no sample-size advice."""


@dataclass(slots=True, kw_only=True)
class Promise:
    """Result of the test."""

    threshold: float | None
    """Lowest, so cheapest, valid threshold; None: none is valid."""
    note: str = ""
    """Reason why there is none, and how many more questions would help."""


def guaranteed(calibration: Levels, of: str, target: float, alpha: float, grid: np.ndarray | None = None) -> Promise:
    """Find the threshold. `of` is "loss" (target: most loss, delta) or "kept_accuracy" (target: least accuracy)."""
    step = -(-len(calibration) // MOST)  # by position in the order of ids, independent of the verdicts
    confidence = np.nan_to_num(calibration.value[calibration.level][::step], nan=-1.0)  # missing: never kept
    outcome = calibration.outcome[::step]
    loss = of == "loss"
    label = outcome == LLM_ONLY if loss else outcome >= SLM_ONLY
    grid = np.unique(GRID if grid is None or not len(grid) else grid)[::-1]
    valid = _test(confidence, label, loss, target, alpha, grid)
    kept = np.array([(~deferred(confidence, t)).sum() for t in grid])
    useful = [t for t in valid if kept[grid == t][0] > 0]
    if useful:
        return Promise(threshold=float(min(useful)))
    hits = np.array([(label & ~deferred(confidence, t)).sum() for t in grid])
    return Promise(threshold=None, note=_need(hits, kept, len(confidence), loss, target, alpha))


def _test(
    confidence: np.ndarray, label: np.ndarray, loss: bool, target: float, alpha: float, grid: np.ndarray
) -> np.ndarray:
    """Valid thresholds of `grid`, which is in the order of testing."""
    from mapie.risk_control import BinaryClassificationController, BinaryRisk, FWERFixedSequenceTesting, precision

    lost = BinaryRisk(
        risk_occurrence=lambda y_true, y_pred: (y_true == 1) & (y_pred == 1),
        risk_condition=lambda y_true, y_pred: np.ones(len(y_true), bool),
        higher_is_better=False,
    )
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x, x]),
        risk=lost if loss else precision,
        target_level=float(target),
        confidence_level=1 - alpha,
        best_predict_param_choice=lost if loss else precision,
        list_predict_params=grid,
        fwer_method=FWERFixedSequenceTesting(n_starts=1 if loss else min(STARTS, len(grid))),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns if no threshold is valid, which is a result here
        controller.calibrate(confidence, label.astype(int))
    return np.asarray(controller.valid_predict_params, np.float64)


def _need(hits: np.ndarray, kept: np.ndarray, total: int, loss: bool, target: float, alpha: float) -> str:
    """The note: how many more questions like these would make a threshold valid. All [thresholds] but `total`."""
    risk = hits / total if loss else 1 - hits / np.maximum(kept, 1)
    limit = target if loss else 1 - target
    level = alpha if loss else alpha / STARTS
    best = math.inf
    for t in np.flatnonzero(kept > 0):
        tested = _tested_needed(float(risk[t]), limit, level)
        best = min(best, tested if loss else tested * total / kept[t])
    more = math.ceil(best - total) if best < FAR else 0
    name = f"a loss of at most {target:g}" if loss else f"kept answers that are right at least {target:g} of the time"
    text = f"no threshold that keeps any answer is valid for {name} at alpha {alpha:g}"
    if best >= FAR:
        seen = risk[kept > 0]
        least = f"the best observed is {(seen.min() if loss else 1 - seen.min()):.3f}" if len(seen) else "none is kept"
        return f"{text}, and more questions would not help: {least}"
    return f"{text}; you need about {max(more, 1):,} more calibration questions"


def _tested_needed(risk: float, limit: float, level: float) -> float:
    """Least number of tested questions at which the same risk passes the Hoeffding-Bentkus test, by bisection."""
    from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value

    def passes(n: int) -> bool:
        p = compute_hoeffding_bentkus_p_value(np.array([risk]), np.array([n]), limit, binary=True)
        return bool(p[0, 0] <= level)

    if not 0 < limit < 1 or risk >= limit:
        return math.inf
    high = 1
    while not passes(high):
        high *= 2
        if high > FAR:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return float(high)
