"""Confidence signals side by side on the same questions, raw and recalibrated.

A recalibrated signal is fitted on one half of each dataset's calibration questions (by hash), and its threshold is
chosen on the other half: a map that has seen a question's verdict makes the threshold look better than it is.
Differences between signals are paired: every signal is resampled with the same draws of questions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs, split_by_hash
from corea.cascade.rules import Choice, choose
from corea.cascade.sweep import depth_of
from corea.config.cascade_schema import RECALIBRATIONS, CascadeConfig
from corea.metrics import calibration
from corea.metrics.bootstrap import EXACT, resample
from corea.metrics.cascade_curve import areas, curve
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally, coarsen, group
from corea.metrics.peers import peer_figures

FIT = "recalibration"
"""Split of the questions that a recalibration was fitted on."""
LEAST = 20
"""Fewest questions that a recalibration is fitted on."""
EDGE = 1e-3
"""Platt scaling sees the logit of the confidence clipped to [EDGE, 1 - EDGE]."""
ACROSS = ("accuracy", "cost", "deferral_rate", "ece", "auroc", "area_gain", "apgr")


@dataclass(slots=True, kw_only=True)
class SignalRow:
    """One signal on the test questions of one dataset."""

    name: str
    """E.g. "verbalized" or "verbalized, isotonic"."""
    choice: Choice
    figures: dict[str, Figure]
    """pass@1, cost and deferral rate at the threshold of the configured rule (absent where it found none); ECE, AUROC,
    area_gain (0 random deferral, 1 oracle) and APGR."""
    p: dict[str, float]
    """Two-sided bootstrap p-value of the difference to the first row; empty for that row and where draws are not
    paired (more than EXACT questions)."""
    line: pd.DataFrame = field(repr=False)
    """deferral_rate, cost, accuracy at each threshold."""


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


def variants(raw: dict[str, Pairs], cfg: CascadeConfig) -> dict[str, Pairs]:
    """Every signal of `raw`, and each recalibrated in every way that its calibration questions allow."""
    found = dict(raw)
    for name, pairs in raw.items():
        for method in RECALIBRATIONS[1:]:
            mapped = recalibrated(pairs, method, cfg)
            if mapped is not None:
                found[f"{name}, {method}"] = mapped
    return found


def compare(found: dict[str, Pairs], inside: np.ndarray, cfg: CascadeConfig) -> list[SignalRow]:
    """One row a signal, on the test questions where `inside` [N] holds; the others are held against the first."""
    rows: list[SignalRow] = []
    reference: dict[str, np.ndarray] = {}
    for name, pairs in found.items():
        test = pairs.where(inside & (pairs.split == cfg.test_split))
        known = pairs.where(inside & (pairs.split == cfg.calibration_split))
        levels = group(test)
        choice = choose(cfg.rule, group(known) if len(known) else None, cfg)
        cuts = [] if choice.threshold is None else [choice.threshold]
        edges = np.unique([*calibration.bin_edges(cfg.bins, cfg.ece_edges), *cuts])
        coarse = coarsen(levels, edges=edges)
        drawn = resample(coarse, cfg.resamples, cfg.seed)
        values = _values(levels, levels.observed, choice, cfg)
        centre, draws = _values(coarse, coarse.observed, choice, cfg), _values(coarse, drawn, choice, cfg)
        draws = {key: d + (values[key] - centre[key]) for key, d in draws.items()}
        reference = reference or draws
        paired = bool(rows) and len(test) <= EXACT
        p = {key: _p_value(d - reference[key]) for key, d in draws.items() if key in reference} if paired else {}
        here = curve(levels.observed)
        line = pd.DataFrame({key: getattr(here, key) for key in ("deferral_rate", "cost", "accuracy")})
        figures = figures_of(values, draws, len(test), cfg.level)
        rows.append(SignalRow(name=name, choice=choice, figures=figures, p=p, line=line))
    return rows


def _values(levels: Levels, tally: Tally, choice: Choice, cfg: CascadeConfig) -> dict[str, np.ndarray]:
    first = levels.missing
    value, right = levels.value[first:], tally.slm_right[..., first:]
    wrong = tally.size[..., first:] - right
    bin_of = calibration.equal_width(value, cfg.bins, cfg.ece_edges)
    values = {
        "ece": calibration.ece(value, wrong, right, bin_of, cfg.bins),
        "auroc": calibration.auroc(wrong, right),
        "area_gain": areas(tally)["area_gain"],
        "apgr": peer_figures(tally)["apgr"],
    }
    if choice.threshold is not None:
        here = curve(tally).at(int(depth_of(levels, choice.threshold)))
        values |= {"accuracy": here.accuracy, "cost": here.cost, "deferral_rate": here.deferral_rate}
    return {key: values[key] for key in ACROSS if key in values}


def _p_value(differences: np.ndarray) -> float:
    """Twice the smaller share of resamples on either side of 0, at least 1 / resamples; NaN without any."""
    given = differences[np.isfinite(differences)]
    if not len(given):
        return float("nan")
    share = 2 * min((given <= 0).mean(), (given >= 0).mean())
    return float(min(1.0, max(share, 1 / len(given))))


def signals_frame(compared: dict[str, list[SignalRow]]) -> pd.DataFrame:
    """One row a dataset and signal: rule, threshold, each figure with _lo, _hi and _p."""
    table = []
    for dataset, rows in compared.items():
        for row in rows:
            wide = {"dataset": dataset, "signal": row.name, "rule": row.choice.rule, "threshold": row.choice.threshold}
            for key in ACROSS:
                f = row.figures.get(key)
                wide |= {key: f.value, f"{key}_lo": f.low, f"{key}_hi": f.high} if f else {}
                wide[f"{key}_p"] = row.p.get(key)
            table.append(wide)
    return pd.DataFrame(table)
