"""One dataset, measured: small model, large model, cascade, each figure with its bootstrap interval.

Thresholds are chosen on the calibration questions; everything that is reported comes from the test questions.
The interval of an operating point holds for the threshold as chosen: only test questions are resampled.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.cascade.rules import Choice, choose
from corea.cascade.sweep import depth_of, sweep
from corea.config.cascade_schema import RULES, CascadeConfig
from corea.evaluation.slm import Small, measure_small
from corea.metrics import calibration
from corea.metrics.bootstrap import interval, resample
from corea.metrics.cascade_curve import Curve, areas, curve, oracle
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally, coarsen, group
from corea.metrics.peers import ibc_lift, peer_figures


@dataclass(slots=True, kw_only=True)
class Point:
    """The cascade at one threshold, on the test questions."""

    choice: Choice
    chosen_on: str
    """Dataset whose calibration split gave the threshold."""
    calibration_questions: int
    figures: dict[str, Figure]
    """accuracy, cost, deferral_rate, selective_accuracy, accuracy_change and cost_change against the LLM alone (the
    latter relative: -0.25 is a quarter saved), llm_spend (part of the LLM's bill that remains), break_even_ratio (the
    cascade pays where an LLM answer costs more SLM answers than this), ibc_lift (peers.py). Empty where no threshold
    was found."""

    @property
    def costs_more(self) -> bool:
        """True where the cascade costs more than the LLM alone."""
        return bool(self.figures) and self.figures["cost_change"].value > 0


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """All results of one dataset (or of all pooled)."""

    name: str
    unit: str
    """Unit of cost, "usd" or "llm_calls"."""
    questions: int
    """Test questions."""
    calibration_questions: int
    small: Small
    before: Small | None
    """The small model before RL on the same questions."""
    change: dict[str, Figure]
    """After less before, for the figures of `small`; empty without `before`."""
    large: dict[str, Figure]
    """accuracy and cost of the LLM alone."""
    areas: dict[str, Figure]
    points: list[Point]
    """One a rule, then the transferred one where there is one."""
    sweep: pd.DataFrame
    """See sweep.sweep."""
    before_sweep: pd.DataFrame | None
    oracle: pd.DataFrame
    """See sweep.oracle."""
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
    """Measure one dataset. `transferred` is an operating point of another dataset to be tried on this one."""
    levels = group(test)
    held_out = group(calibration) if calibration is not None and len(calibration) else None
    known = len(held_out) if held_out else 0
    rules = sorted(RULES, key=lambda rule: rule != cfg.rule)  # the configured one first
    chosen = [(choose(rule, held_out, cfg), name, known) for rule in rules]
    if transferred is not None:
        chosen.append((transferred.choice, transferred.chosen_on, transferred.calibration_questions))
    cuts = [c.threshold for c, _, _ in chosen if c.threshold is not None]
    coarse = _coarse(levels, cfg, cuts)
    drawn = resample(coarse, cfg.resamples, cfg.seed)
    small, draws = measure_small(test, levels, coarse, drawn, cfg)
    old, change, old_sweep = None, {}, None
    if before is not None:
        old_levels = group(before)
        old_coarse = _coarse(old_levels, cfg, [])
        old_drawn = resample(old_coarse, cfg.resamples, cfg.seed)  # same seed and N: paired with `drawn`
        old, old_draws = measure_small(before, old_levels, old_coarse, old_drawn, cfg)
        change = _change(small, draws, old, old_draws, cfg.level)
        old_sweep = sweep(old_levels, old_coarse, old_drawn, cfg.level, cfg.thresholds)
    line = curve(drawn)
    return Evaluation(
        name=name,
        unit=test.unit,
        questions=len(test),
        calibration_questions=known,
        small=small,
        before=old,
        change=change,
        large=_large(curve(levels.observed), line, len(test), cfg.level),
        areas=figures_of(_summary(levels.observed), _summary(drawn), len(test), cfg.level),
        points=[_point(c, source, n, levels, coarse, line, cfg.level) for c, source, n in chosen],
        sweep=sweep(levels, coarse, drawn, cfg.level, cfg.thresholds),
        before_sweep=old_sweep,
        oracle=oracle(levels),
        calibration=held_out,
        test=test,
    )


def _summary(tally: Tally) -> dict[str, np.ndarray]:
    """Figures of the whole curve."""
    return {**areas(tally), **peer_figures(tally)}


def _coarse(levels: Levels, cfg: CascadeConfig, thresholds: list[float]) -> Levels:
    """Few enough levels for the bootstrap, with boundaries at the bins' edges and at every threshold of interest."""
    edges = np.unique([*calibration.bin_edges(cfg.bins, cfg.ece_edges), *cfg.thresholds, *thresholds])
    return coarsen(levels, edges=edges)


def _change(
    small: Small, draws: dict[str, np.ndarray], old: Small, old_draws: dict[str, np.ndarray], level: float
) -> dict[str, Figure]:
    """After less before. The draws are paired question by question, and the binning bias largely cancels."""
    change = {}
    for name, figure in small.figures.items():
        low, high = interval(draws[name] - old_draws[name], level)
        value = figure.value - old.figures[name].value
        change[name] = Figure(value=value, low=float(low), high=float(high), n=min(figure.n, old.figures[name].n))
    return change


def _large(observed: Curve, drawn: Curve, n: int, level: float) -> dict[str, Figure]:
    values = {"accuracy": observed.llm_accuracy, "cost": observed.llm_cost}
    return figures_of(values, {"accuracy": drawn.llm_accuracy, "cost": drawn.llm_cost}, n, level)


def _point(
    choice: Choice, source: str, known: int, levels: Levels, coarse: Levels, drawn: Curve, level: float
) -> Point:
    """The test figures of one chosen threshold."""
    figures: dict[str, Figure] = {}
    if choice.threshold is not None:
        here = curve(levels.observed).at(int(depth_of(levels, choice.threshold)))
        draws = drawn.at(int(depth_of(coarse, choice.threshold)))
        figures = figures_of(_point_values(here), _point_values(draws), len(levels), level)
    return Point(choice=choice, chosen_on=source, calibration_questions=known, figures=figures)


def _point_values(here: Curve) -> dict[str, np.ndarray]:
    llm_cost = np.asarray(here.llm_cost, np.float64)
    relative = np.divide(here.cost, llm_cost, out=np.full(llm_cost.shape, np.nan), where=llm_cost > 0)
    deferred = here.cost - here.slm_cost
    spend = np.divide(deferred, llm_cost, out=np.full(llm_cost.shape, np.nan), where=llm_cost > 0)
    return {
        "accuracy": here.accuracy,
        "cost": here.cost,
        "deferral_rate": here.deferral_rate,
        "selective_accuracy": here.selective_accuracy,
        "accuracy_change": here.accuracy - here.llm_accuracy,
        "cost_change": relative - 1,
        "llm_spend": spend,
        "break_even_ratio": np.divide(1, 1 - spend, out=np.full(spend.shape, np.nan), where=spend < 1 - 1e-12),
        "ibc_lift": ibc_lift(here),
    }
