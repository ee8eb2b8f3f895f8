"""Figures of one dataset with bootstrap intervals: small model, large model, cascade.

Thresholds are chosen on the calibration questions; all reported figures come from the test questions. The interval of
an operating point is that of the chosen threshold: only test questions are resampled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.cascade.rules import Choice, choose
from corea.cascade.sweep import at_threshold, sweep
from corea.config.cascade_schema import RULES, CascadeConfig
from corea.metrics.bootstrap import Sample, draw_sample, interval
from corea.metrics.calibration import all_metrics, bin_edges, equal_mass, histogram, reliability
from corea.metrics.cascade_curve import Curve, curve, oracle
from corea.metrics.cascade_figures import curve_figures, point_figures
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, Tally, group


@dataclass(slots=True, kw_only=True)
class Point:
    """The cascade at one threshold, on the test questions."""

    choice: Choice
    chosen_on: str
    """Dataset whose calibration split gave the threshold."""
    calibration_questions: int
    figures: dict[str, Figure]
    """Those of `cascade_figures.point_figures`; empty if no threshold was found."""

    @property
    def costs_more(self) -> bool:
        """True if the cascade costs more than the LLM alone."""
        return bool(self.figures) and self.figures["cost_change"].value > 0


@dataclass(slots=True, kw_only=True)
class Small:
    """The small model on the test questions."""

    figures: dict[str, Figure]
    """accuracy, cost, missing_confidence and all of calibration.all_metrics."""
    counts: dict[str, int]
    """Answers by status; missing and distinct confidences; answers with confidence 0, 1 and the most frequent value."""
    reliability: pd.DataFrame
    """One row per bin: lower, upper, n, confidence, accuracy, low, high (Wilson interval)."""
    histogram: pd.DataFrame
    """One row per confidence or bin of confidences: confidence, width, right, wrong."""


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
    known = len(held_out) if held_out else 0
    rules = sorted(RULES, key=lambda rule: rule != cfg.rule)  # the configured one first
    chosen = [(choose(rule, held_out, cfg), name, known) for rule in rules]
    if transferred is not None:
        chosen.append((transferred.choice, transferred.chosen_on, transferred.calibration_questions))
    cuts = [c.threshold for c, _, _ in chosen if c.threshold is not None]
    sample = _sample(test, cfg, cuts)
    small, draws = measure_small(test, sample, cfg)
    old, change, old_sweep = None, {}, None
    if before is not None:
        earlier = _sample(before, cfg, [])  # same seed and N: paired with `sample`
        old, old_draws = measure_small(before, earlier, cfg)
        change = _change(small, draws, old, old_draws, cfg.level)
        old_sweep = sweep(earlier.exact, earlier.coarse, earlier.drawn, cfg.level, cfg.thresholds)
    exact, tallies = sample.exact, (sample.exact.observed, sample.drawn)
    lines, best = [curve(tally) for tally in tallies], oracle(sample.exact)
    alone = [{"accuracy": line.llm_accuracy, "cost": line.llm_cost} for line in lines]
    whole = [curve_figures(tally, line) for tally, line in zip(tallies, lines, strict=True)]
    return Evaluation(
        name=name,
        unit=test.unit,
        questions=len(test),
        calibration_questions=known,
        calibration_sha256=calibration.sha256() if calibration is not None else "",
        small=small,
        before=old,
        change=change,
        large=figures_of(*alone, len(test), cfg.level),
        areas=figures_of(*whole, len(test), cfg.level),
        points=[_point(c, source, n, sample, lines, cfg.level) for c, source, n in chosen],
        sweep=sweep(exact, sample.coarse, sample.drawn, cfg.level, cfg.thresholds),
        before_sweep=old_sweep,
        oracle=best,
        calibration=held_out,
        test=test,
    )


def _sample(pairs: Pairs, cfg: CascadeConfig, thresholds: list[float]) -> Sample:
    """The questions with resamples; levels have boundaries at the bins' edges and at every threshold of interest."""
    edges = np.unique([*bin_edges(cfg.bins, cfg.ece_edges), *cfg.thresholds, *thresholds])
    return draw_sample(pairs, edges, cfg.resamples, cfg.seed)


def _change(
    small: Small, draws: dict[str, np.ndarray], old: Small, old_draws: dict[str, np.ndarray], level: float
) -> dict[str, Figure]:
    """Figures after RL minus before. Resamples are paired by question, so the binning bias largely cancels."""
    change = {}
    for name, figure in small.figures.items():
        low, high = interval(draws[name] - old_draws[name], level)
        value = figure.value - old.figures[name].value
        change[name] = Figure(value=value, low=float(low), high=float(high), n=min(figure.n, old.figures[name].n))
    return change


def _point(choice: Choice, source: str, known: int, sample: Sample, lines: list[Curve], level: float) -> Point:
    """The test figures of one chosen threshold; `lines` are the observed curve and the resampled one."""
    figures: dict[str, Figure] = {}
    if choice.threshold is not None:
        here = at_threshold(lines[0], sample.exact, choice.threshold)
        draws = at_threshold(lines[1], sample.coarse, choice.threshold)
        figures = figures_of(point_figures(here), point_figures(draws), len(sample.exact), level)
    return Point(choice=choice, chosen_on=source, calibration_questions=known, figures=figures)


def measure_small(pairs: Pairs, sample: Sample, cfg: CascadeConfig) -> tuple[Small, dict[str, np.ndarray]]:
    """The small model's figures, and the draws [R] behind them."""
    value, wrong, right = _given(sample.exact, sample.exact.observed)
    diagram = reliability(value, wrong, right, cfg.bins, cfg.ece_edges, cfg.level)
    bars = histogram(value, wrong, right)
    values, draws = sample.centred(partial(_values, cfg=cfg))
    figures = figures_of(values, draws, int((~np.isnan(pairs.confidence)).sum()), cfg.level)
    for name in ("accuracy", "cost", "missing_confidence"):
        figures[name].n = len(pairs)
    counts = _counts(pairs, sample.exact)
    return Small(figures=figures, counts=counts, reliability=diagram, histogram=bars), draws


def _given(levels: Levels, tally: Tally) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence [K], wrong and right answers [..., K] of the levels that hold a confidence."""
    first = levels.missing
    right = tally.slm_right[..., first:]
    return levels.value[first:], tally.size[..., first:] - right, right


def _values(levels: Levels, tally: Tally, cfg: CascadeConfig) -> dict[str, np.ndarray]:
    """Every figure of the small model [...]; the equal-mass bins are those of the questions themselves."""
    value, wrong, right = _given(levels, tally)
    total = tally.size.sum(-1)
    mass_of = equal_mass(levels.observed.size[levels.missing :], cfg.bins)
    return {
        "accuracy": tally.slm_right.sum(-1) / total,
        "cost": tally.slm_cost / total,
        "missing_confidence": tally.size[..., : levels.missing].sum(-1) / total,
        **all_metrics(value, wrong, right, cfg.bins, cfg.ece_edges, mass_of),
    }


def _counts(pairs: Pairs, levels: Levels) -> dict[str, int]:
    status, number = np.unique(pairs.status[pairs.status != ""].astype(str), return_counts=True)
    size, first = levels.observed.size, levels.missing
    given = dict(zip(levels.value[first:], size[first:], strict=True))
    return {
        **{f"status_{s}": int(n) for s, n in zip(status, number, strict=True)},
        "missing_confidence": int(size[:first].sum()),
        "distinct_confidences": len(given),
        "confidence_at_0": int(given.get(0.0, 0)),
        "confidence_at_1": int(given.get(1.0, 0)),
        "confidence_at_mode": int(max(given.values(), default=0)),
    }
