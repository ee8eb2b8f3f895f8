"""Confidence signals side by side on the same questions, raw and recalibrated.

Differences between signals are paired: every signal uses the same resamples of questions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.cascade.recalibration import recalibrated
from corea.cascade.rules import Choice, choose
from corea.cascade.sweep import at_threshold
from corea.config.cascade_schema import RECALIBRATIONS, CascadeConfig
from corea.metrics import calibration
from corea.metrics.bootstrap import EXACT, draw_sample
from corea.metrics.cascade_curve import curve
from corea.metrics.cascade_figures import curve_figures
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally, group

ACROSS = ("accuracy", "cost", "deferral_rate", "ece", "auroc", "area_gain", "apgr")


@dataclass(slots=True, kw_only=True)
class SignalRow:
    """One signal on the test questions of one dataset."""

    name: str
    """E.g. "verbalized" or "verbalized, isotonic"."""
    choice: Choice
    figures: dict[str, Figure]
    """pass@1, cost and deferral rate at the threshold of the configured rule (absent if it found none); ECE, AUROC,
    area_gain (0 random deferral, 1 oracle) and APGR."""
    p: dict[str, float]
    """Two-sided bootstrap p-value of the difference to the first row; empty for that row and if resamples are
    not paired (more than EXACT questions)."""
    line: pd.DataFrame = field(repr=False)
    """deferral_rate, cost, accuracy at each threshold."""


def variants(raw: dict[str, Pairs], cfg: CascadeConfig) -> dict[str, Pairs]:
    """Every signal of `raw`, raw and with each recalibration that the calibration questions allow."""
    found = dict(raw)
    for name, pairs in raw.items():
        for method in RECALIBRATIONS[1:]:
            mapped = recalibrated(pairs, method, cfg)
            if mapped is not None:
                found[f"{name}, {method}"] = mapped
    return found


def compare(found: dict[str, Pairs], inside: np.ndarray, cfg: CascadeConfig) -> list[SignalRow]:
    """One row per signal, on the test questions where `inside` [N] holds; rows are compared with the first one."""
    rows: list[SignalRow] = []
    reference: dict[str, np.ndarray] = {}
    for name, pairs in found.items():
        test = pairs.where(inside & (pairs.split == cfg.test_split))
        known = pairs.where(inside & (pairs.split == cfg.calibration_split))
        choice = choose(cfg.rule, group(known) if len(known) else None, cfg)
        cuts = [] if choice.threshold is None else [choice.threshold]
        edges = np.unique([*calibration.bin_edges(cfg.bins, cfg.ece_edges), *cuts])
        sample = draw_sample(test, edges, cfg.resamples, cfg.seed)
        values, draws = sample.centred(partial(_values, choice=choice, cfg=cfg))
        reference = reference or draws
        paired = bool(rows) and len(test) <= EXACT
        p = {key: _p_value(d - reference[key]) for key, d in draws.items() if key in reference} if paired else {}
        here = curve(sample.exact.observed)
        line = pd.DataFrame({key: getattr(here, key) for key in ("deferral_rate", "cost", "accuracy")})
        figures = figures_of(values, draws, len(test), cfg.level)
        rows.append(SignalRow(name=name, choice=choice, figures=figures, p=p, line=line))
    return rows


def _values(levels: Levels, tally: Tally, choice: Choice, cfg: CascadeConfig) -> dict[str, np.ndarray]:
    first = levels.missing
    value, right = levels.value[first:], tally.slm_right[..., first:]
    wrong = tally.size[..., first:] - right
    bin_of = calibration.equal_width(value, cfg.bins, cfg.ece_edges)
    line = curve(tally)
    values = {
        "ece": calibration.ece(value, wrong, right, bin_of, cfg.bins),
        "auroc": calibration.auroc(wrong, right),
        **curve_figures(tally, line),
    }
    if choice.threshold is not None:
        here = at_threshold(line, levels, choice.threshold)
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
    """One row per dataset and signal: rule, threshold, each figure with _lo, _hi and _p."""
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
