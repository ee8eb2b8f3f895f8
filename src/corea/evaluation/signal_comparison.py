"""Confidence signals side by side on the same questions, raw and recalibrated.

Differences between signals are paired: every signal uses the same resamples of questions. The p-value of a difference
of ECE comes from its interval (ece_change.py), that of any other figure from the resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.cascade.combined import COMBINED
from corea.cascade.recalibration import recalibrated
from corea.cascade.rules import Choice
from corea.config.cascade_schema import RECALIBRATIONS, CascadeConfig
from corea.display import tick
from corea.evaluation.ece_figures import ece_change_p, set_ece_interval, stated
from corea.evaluation.points import Picker, Point, drawn_figures, measured
from corea.metrics import calibration
from corea.metrics.bootstrap import EXACT, Sample
from corea.metrics.cascade_curve import curve
from corea.metrics.cascade_figures import curve_figures
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally, group
from corea.metrics.paired_tests import resampled_p

ACROSS = ("accuracy", "cost", "deferral_rate", "ece", "auroc", "area_gain", "apgr")
AT_THRESHOLD = ("accuracy", "cost", "deferral_rate")
SAFE = "max_drop"
"""Rule whose promise decides which signal the advice names."""


@dataclass(slots=True, kw_only=True)
class SignalRow:
    """One signal on the test questions of one dataset."""

    name: str
    """E.g. "verbalized" or "verbalized, isotonic"."""
    point: Point
    """By the configured rule."""
    safe: Point
    """By the rule SAFE."""
    figures: dict[str, Figure]
    """pass@1, cost and deferral rate at the threshold of the configured rule (absent if it found none); ECE, AUROC,
    area_gain (0 random deferral, 1 oracle) and APGR."""
    p: dict[str, float]
    """Two-sided p-value of the difference to the first row; empty for that row and if resamples are not paired (more
    than EXACT questions)."""
    line: pd.DataFrame = field(repr=False)
    """deferral_rate, cost, accuracy at each threshold."""

    @property
    def choice(self) -> Choice:
        """The threshold of the configured rule."""
        return self.point.choice


def variants(raw: dict[str, Pairs], cfg: CascadeConfig) -> dict[str, Pairs]:
    """Every signal of `raw`, raw and with each recalibration that the calibration questions allow.

    `combined` is a fitted probability already.
    """
    found = dict(raw)
    for name, pairs in raw.items():
        for method in RECALIBRATIONS[1:] if name != COMBINED else ():
            mapped = recalibrated(pairs, method, cfg)
            if mapped is not None:
                found[f"{name}, {method}"] = mapped[0]
    return found


def compare(found: dict[str, Pairs], inside: np.ndarray, name: str, cfg: CascadeConfig) -> list[SignalRow]:
    """One row per signal, on the test questions where `inside` [N] holds; rows are compared with the first one.

    `name` is the dataset's.
    """
    rows: list[SignalRow] = []
    reference: tuple[Levels, dict[str, np.ndarray]] | None = None
    for signal, pairs in found.items():
        test = pairs.where(inside & (pairs.split == cfg.test_split))
        known = pairs.where(inside & (pairs.split == cfg.calibration_split))
        row, levels, draws = _row(signal, test, group(known) if len(known) else None, name, cfg)
        if reference is None:
            reference = (levels, draws)
        elif len(test) <= EXACT:
            row.p = _p_values(levels, draws, *reference, cfg)
        rows.append(row)
        tick()
    return rows


def _row(
    signal: str, test: Pairs, known: Levels | None, name: str, cfg: CascadeConfig
) -> tuple[SignalRow, Levels, dict[str, np.ndarray]]:
    """One row without p-values, the levels of its test questions, and the draws [R] behind its figures."""
    picker = Picker(name, known, cfg)
    pick = picker.pick(cfg.rule, explain=False)
    safe = pick if cfg.rule == SAFE else picker.pick(SAFE, explain=False)
    cuts = [p.choice.threshold for p in (pick, safe) if p.choice.threshold is not None]
    edges = np.unique([*calibration.bin_edges(cfg.bins, cfg.ece_edges), *cuts])
    sample = Sample(test, edges, cfg.resamples, cfg.seed)
    lines = [curve(tally) for tally in (sample.exact.observed, sample.drawn)]
    values, draws = sample.centred(partial(_values, cfg=cfg))
    figures = figures_of(values, draws, len(test), cfg.level)
    set_ece_interval(figures["ece"], sample.exact, "ece", cfg)
    point = measured(pick, sample, lines, cfg.level)
    if point.figures:
        figures = {key: point.figures[key] for key in AT_THRESHOLD} | figures
        at = drawn_figures(pick, sample, lines[1])
        draws |= {key: at[key] for key in AT_THRESHOLD}
    line = pd.DataFrame({key: getattr(lines[0], key) for key in ("deferral_rate", "cost", "accuracy")})
    row = SignalRow(
        name=signal, point=point, safe=measured(safe, sample, lines, cfg.level), figures=figures, p={}, line=line
    )
    return row, sample.exact, draws


def _values(levels: Levels, tally: Tally, cfg: CascadeConfig) -> dict[str, np.ndarray]:
    value, wrong, right = stated(levels, tally)
    bin_of = calibration.equal_width(value, cfg.bins, cfg.ece_edges)
    values = {
        "ece": calibration.ece(value, wrong, right, bin_of, cfg.bins),
        "auroc": calibration.auroc(wrong, right),
        **curve_figures(tally, curve(tally)),
    }
    return {key: values[key] for key in ACROSS if key in values}


def _p_values(
    levels: Levels, draws: dict[str, np.ndarray], of: Levels, reference: dict[str, np.ndarray], cfg: CascadeConfig
) -> dict[str, float]:
    found = {key: resampled_p(d - reference[key]) for key, d in draws.items() if key in reference}
    return found | {"ece": ece_change_p(levels, of, cfg)}


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
