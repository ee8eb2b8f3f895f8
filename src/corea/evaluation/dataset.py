"""Figures of one dataset with bootstrap intervals: small model, large model, cascade.

Thresholds are chosen on the calibration questions; all reported figures come from the test questions (points.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.cascade.sweep import sweep
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.points import Picker, Point, measured
from corea.evaluation.small_model import Small, change_of, measure_small
from corea.metrics.bootstrap import Sample
from corea.metrics.calibration import bin_edges
from corea.metrics.cascade_curve import curve, oracle
from corea.metrics.cascade_figures import curve_figures
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, group


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """All results of one dataset (or of all pooled)."""

    name: str
    unit: str
    """Unit of cost, "usd" or "llm_calls"."""
    questions: int
    """Test questions."""
    calibration_questions: int
    calibration_sha256: str
    """Over ids, confidences and verdicts of the calibration questions; "" without any."""
    small: Small
    before: Small | None
    """The small model before RL on the same questions."""
    change: dict[str, Figure]
    """Figures of `small` minus those of `before`; empty without `before`."""
    large: dict[str, Figure]
    """accuracy and cost of the LLM alone."""
    areas: dict[str, Figure]
    points: list[Point]
    """One per rule, then the transferred one if there is one."""
    sweep: pd.DataFrame
    """See sweep.sweep."""
    before_sweep: pd.DataFrame | None
    oracle: pd.DataFrame
    """See cascade_curve.oracle."""
    calibration: Levels | None = field(repr=False, default=None)
    test: Pairs | None = field(repr=False, default=None)
    """The test questions."""

    def point(self, rule: str) -> Point:
        """The operating point of `rule`, chosen on this dataset."""
        return next(p for p in self.points if p.choice.rule == rule and p.chosen_on == self.name)


def evaluate_dataset(
    name: str,
    test: Pairs,
    calibration: Pairs | None,
    before: Pairs | None,
    cfg: CascadeConfig,
    transferred: Point | None = None,
) -> Evaluation:
    """Measure one dataset. `transferred` is an operating point of another dataset to try on this one."""
    held_out = group(calibration) if calibration is not None and len(calibration) else None
    picks = [*Picker(name, held_out, cfg).every_rule(), *([transferred.pick] if transferred is not None else [])]
    cuts = [p.choice.threshold for p in picks if p.choice.threshold is not None]
    sample = Sample(test, _edges(cfg, cuts), cfg.resamples, cfg.seed)
    small, draws = measure_small(test, sample, cfg)
    old, change, old_sweep = None, {}, None
    if before is not None:
        earlier = Sample(before, _edges(cfg, []), cfg.resamples, cfg.seed)  # same seed and N: paired with `sample`
        old, old_draws = measure_small(before, earlier, cfg)
        change = change_of((small, draws, sample.exact), (old, old_draws, earlier.exact), cfg)
        old_sweep = sweep(earlier.exact, earlier.coarse, earlier.drawn, cfg.level, cfg.thresholds)
    exact, tallies = sample.exact, (sample.exact.observed, sample.drawn)
    lines, best = [curve(tally) for tally in tallies], oracle(sample.exact)
    alone = [{"accuracy": line.llm_accuracy, "cost": line.llm_cost} for line in lines]
    whole = [curve_figures(tally, line) for tally, line in zip(tallies, lines, strict=True)]
    return Evaluation(
        name=name,
        unit=test.unit,
        questions=len(test),
        calibration_questions=len(held_out) if held_out else 0,
        calibration_sha256=calibration.sha256() if calibration is not None else "",
        small=small,
        before=old,
        change=change,
        large=figures_of(alone[0], alone[1], len(test), cfg.level),
        areas=figures_of(whole[0], whole[1], len(test), cfg.level),
        points=[measured(pick, sample, lines, cfg.level) for pick in picks],
        sweep=sweep(exact, sample.coarse, sample.drawn, cfg.level, cfg.thresholds),
        before_sweep=old_sweep,
        oracle=best,
        calibration=held_out,
        test=test,
    )


def _edges(cfg: CascadeConfig, thresholds: list[float]) -> np.ndarray:
    """Where levels of the bootstrap must have a boundary: the edges of the bins and every threshold of interest."""
    return np.unique([*bin_edges(cfg.bins, cfg.ece_edges), *cfg.thresholds, *thresholds])
