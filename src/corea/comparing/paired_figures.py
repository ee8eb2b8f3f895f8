"""Differences between groups of runs on the same questions, with intervals over questions, over seeds and over both.

Questions: the paired bootstrap of corea.evaluate. Each resample takes the same test questions for every run, and, where
the evaluation has `cascade.intervals=both`, the same calibration questions, on which each run's rule chooses its
threshold anew. A group's figure on a resample is the mean over its seeds. Calibration errors (ECE) have the interval of
their change (metrics/ece_change.py) instead, since the bootstrap is biased there; with several seeds its ends are
averaged over the pairs of runs, which is at least as wide as the interval of the mean.

Seeds: Student t of the differences seed by seed if both groups have the same seeds, else Welch's.

Both: the half-widths of the two add in quadrature on each side (Zou and Donner 2008, "MOVER"). The interaction of
seeds and questions is in both parts, so this errs on the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from corea.answers.pairs import Pairs
from corea.answers.table import Answers
from corea.comparing.run_groups import RunGroup
from corea.comparing.run_sources import ComparedRun, shared_bootstrap
from corea.comparing.seed_figures import Span, difference_span, mean_span
from corea.config.cascade_schema import RULES, CascadeConfig
from corea.errors import UserError
from corea.evaluation.ece_figures import CALIBRATION, set_ece_change, set_ece_interval
from corea.evaluation.inputs import Reader
from corea.evaluation.points import Picker, drawn_figures, observed_figures
from corea.evaluation.question_sets import QuestionSets, add_combined, question_sets
from corea.evaluation.regrade import regrader
from corea.evaluation.small_model import WITHOUT_INTERVAL, measure_small
from corea.metrics.bootstrap import EXACT, Sample, interval
from corea.metrics.calibration import bin_edges
from corea.metrics.cascade_curve import curve
from corea.metrics.cascade_figures import curve_figures
from corea.metrics.ece_change import ece_interval_p_value
from corea.metrics.figures import Figure
from corea.metrics.levels import Levels, Tally, group
from corea.metrics.paired_tests import resampled_p

SHOWN = 5
"""Questions that a message names."""


@dataclass(slots=True, kw_only=True)
class Draws:
    """The figures of one run on the resampled questions of one dataset."""

    of: dict[str, np.ndarray]
    """Metric -> [R]."""
    values: dict[str, float]
    """Metric -> its value on the questions themselves."""
    levels: Levels
    """The test questions in their order."""
    cfg: CascadeConfig


def answers_of(run: ComparedRun, shared: CascadeConfig) -> tuple[Answers, CascadeConfig]:
    """The answers of a run with its signal, as its evaluation reads them, and how they are evaluated."""
    assert run.evaluation is not None, "only for runs with an answers table"
    cfg = run.evaluation
    cascade = shared_bootstrap(cfg.cascade, shared)
    inputs = Reader(cfg).read(regrader(cfg.audit) if cfg.audit is not None else None)
    return add_combined(inputs.answers, None, cascade)[0], cascade


def questions_of(run: ComparedRun, shared: CascadeConfig) -> QuestionSets:
    """The questions of a run with its signal and splits, as its evaluation reads them."""
    answers, cascade = answers_of(run, shared)
    return question_sets(answers, None, cascade)


def require_same_questions(one: Pairs, other: Pairs, names: tuple[str, str], dataset: str, split: str) -> None:
    """Refuse to pair runs that were tested on different questions.

    Raises:
        UserError: names the run that lacks questions, how many, and the first of them.
    """
    ids = [set(map(str, pairs.question_id)) for pairs in (one, other)]
    for lacking, having, name, against in ((ids[1], ids[0], names[1], names[0]), (ids[0], ids[1], names[0], names[1])):
        gone = sorted(having - lacking)
        if gone:
            some = ", ".join(gone[:SHOWN]) + (", …" if len(gone) > SHOWN else "")
            raise UserError(
                f"{name}: dataset {dataset}: lacks {len(gone)} of the {len(having)} {split} questions of {against} "
                f"({some}); differences=false compares the figures alone"
            )


def draw_figures(test: Pairs, known: Pairs | None, dataset: str, cfg: CascadeConfig, metrics: Sequence[str]) -> Draws:
    """The bootstrap draws [R] of every metric of a run that is a figure of its test questions."""
    picker = Picker(dataset, group(known) if known is not None and len(known) else None, cfg)
    named = [rule for rule in RULES if any(metric.startswith(f"{rule}/") for metric in metrics)]
    picks = {rule: picker.pick(rule) for rule in dict.fromkeys([cfg.rule, *named])}
    cuts = [pick.choice.threshold for pick in picks.values() if pick.choice.threshold is not None]
    edges = np.unique([*bin_edges(cfg.bins, cfg.ece_edges), *cfg.thresholds, *cuts])
    sample = Sample(test, edges, cfg.resamples, cfg.seed)
    small, of_small = measure_small(test, sample, cfg)
    found = {f"slm/{name}": drawn for name, drawn in of_small.items()}
    values: dict[str, Any] = {f"slm/{name}": figure.value for name, figure in small.figures.items()}
    whole, of_whole = _whole_curve(sample)
    found, values = found | of_whole, values | whole
    line, observed = curve(sample.drawn), curve(sample.exact.observed)
    for rule, pick in picks.items():
        if pick.choice.threshold is not None:
            here, drawn_here = observed_figures(pick, sample, observed), drawn_figures(pick, sample, line)
            for part in [rule, *(["cascade"] if rule == cfg.rule else [])]:
                found |= {f"{part}/{name}": drawn for name, drawn in drawn_here.items()}
                values |= {f"{part}/{name}": value for name, value in here.items()}
    return Draws(
        of={_with_unit(name, test.unit): drawn for name, drawn in found.items()},
        values={_with_unit(name, test.unit): float(value) for name, value in values.items()},
        levels=sample.exact,
        cfg=cfg,
    )


def _with_unit(name: str, unit: str) -> str:
    return f"{name}_{unit}" if name.endswith("/cost") else name


def _whole_curve(sample: Sample) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Values and draws [R] of the whole curve and of the large model."""

    def measure(levels: Levels, tally: Tally) -> dict[str, np.ndarray]:
        line = curve(tally)
        areas = {f"areas/{name}": values for name, values in curve_figures(tally, line).items()}
        return {**areas, "llm/accuracy": line.llm_accuracy, "llm/cost": line.llm_cost}

    return sample.centred(measure)


def over_questions(metric: str, now: Sequence[Draws], reference: Sequence[Draws], level: float, matched: bool) -> Span:
    """Interval over questions of the difference of two groups; none where the metric has no draws.

    `matched`: the runs of both belong to the same seeds, in this order.
    """
    both = (*now, *reference)
    name = metric.removeprefix("slm/")
    if not both or name in WITHOUT_INTERVAL or any(metric not in draws.of for draws in both):
        return Span()
    if max(len(draws.levels) for draws in both) > EXACT:  # resampled by level, which does not pair runs
        return Span()
    if metric.startswith("slm/") and name in CALIBRATION:
        return _over_pairs(name, now, reference, matched)
    drawn = [np.mean([draws.of[metric] for draws in side], axis=0) for side in (now, reference)]
    low, high = interval(drawn[0] - drawn[1], level)
    return Span(low=float(low), high=float(high))


def p_over_questions(
    metric: str, now: Sequence[Draws], reference: Sequence[Draws], level: float, matched: bool
) -> float:
    """Two-sided p-value of the difference of two groups over questions; arguments as in over_questions.

    From the resamples, or of a calibration error from its interval. NaN where there is no such interval.
    """
    span = over_questions(metric, now, reference, level, matched)
    if not span.known:
        return math.nan
    if metric.startswith("slm/") and metric.removeprefix("slm/") in CALIBRATION:
        return ece_interval_p_value(span.low, span.high, level)
    means = [np.mean([draws.of[metric] for draws in side], axis=0) for side in (now, reference)]
    return resampled_p(means[0] - means[1])


def mean_over_questions(metric: str, draws: Sequence[Draws], level: float) -> Span:
    """Interval over questions of the mean of a group's runs; none where the metric has no draws.

    Of a calibration error, the averaged ends of the runs' intervals, which are at least as wide.
    """
    name = metric.removeprefix("slm/")
    if not draws or name in WITHOUT_INTERVAL or any(metric not in one.of for one in draws):
        return Span()
    if metric.startswith("slm/") and name in CALIBRATION:
        figures = [Figure(value=one.values[metric], low=math.nan, high=math.nan, n=0) for one in draws]
        for figure, one in zip(figures, draws, strict=True):
            set_ece_interval(figure, one.levels, name, one.cfg)
        return Span(low=float(np.mean([f.low for f in figures])), high=float(np.mean([f.high for f in figures])))
    low, high = interval(np.mean([one.of[metric] for one in draws], axis=0), level)
    return Span(low=float(low), high=float(high))


def _over_pairs(name: str, now: Sequence[Draws], reference: Sequence[Draws], matched: bool) -> Span:
    pairs = list(zip(now, reference, strict=True)) if matched else [(a, b) for a in now for b in reference]
    changes = []
    for one, other in pairs:
        change = Figure(value=math.nan, low=math.nan, high=math.nan, n=0)
        set_ece_change(change, one.levels, other.levels, name, one.cfg)
        changes.append(change)
    return Span(low=float(np.mean([c.low for c in changes])), high=float(np.mean([c.high for c in changes])))


def same_seeds(one: RunGroup, other: RunGroup) -> bool:
    """Whether both groups have the same known seeds."""
    return None not in one.seeds and sorted(map(str, one.seeds)) == sorted(map(str, other.seeds))


def over_seeds(values: Sequence[float], reference: Sequence[float], level: float, matched: bool) -> Span:
    """Interval over seeds of the difference of two groups; `matched` as in over_questions."""
    if matched and len(values) == len(reference):
        return mean_span([a - b for a, b in zip(values, reference, strict=True)], level)
    return difference_span(values, reference, level)


def over_both(value: float, questions: Span, seeds: Span) -> Span:
    """Interval over questions and seeds; none unless both are known."""
    if not (questions.known and seeds.known):
        return Span()
    down = math.hypot(max(value - questions.low, 0.0), max(value - seeds.low, 0.0))
    up = math.hypot(max(questions.high - value, 0.0), max(seeds.high - value, 0.0))
    return Span(low=value - down, high=value + up)
