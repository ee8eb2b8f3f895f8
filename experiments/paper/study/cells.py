"""Cells of the main tables: mean over seeds, interval over questions and seeds, paired test against the reference.

Interval: half-widths over questions (bootstrap; of ECE its own interval) and over seeds (Student t) added in quadrature
(comparing/paired_figures.py). With one seed, over questions alone. Test: two-sided, over the same test questions, of
the means over the seeds of these trained models; Holm's correction for all cascades in one column of one family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from corea.comparing.paired_figures import (
    Draws,
    mean_over_questions,
    over_both,
    over_questions,
    over_seeds,
    p_over_questions,
)
from corea.comparing.seed_figures import Span, mean_span
from corea.metrics.paired_tests import holm

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    title: str
    metric: str
    """Name in study.systems.standard, with RULE for the rule."""
    scale: float = 1.0
    digits: int = 3
    best: Callable[[Sequence[float]], float] | None = None
    """Which value is marked."""
    signed: bool = False
    least: float = 0.0
    most: float = 1.0
    """Range of the figure, to which intervals are cut."""


QUALITY = (
    Column(title="ECE", metric="slm/ece", best=min),
    Column(title="AUROC", metric="slm/auroc", best=max),
    Column(title="area, %", metric="areas/area", scale=100, digits=2, best=max),
    Column(title="area gain", metric="areas/area_gain", best=max, least=-math.inf),
)
"""Of the signal and of the whole curve."""
POINT = (
    Column(title="pass@1, %", metric="RULE/accuracy", scale=100, digits=1, best=max),
    Column(
        title="cost, %", metric="RULE/cost_change", scale=100, digits=1, best=min, signed=True, least=-1, most=math.inf
    ),
    Column(title="to LLM, %", metric="RULE/deferral_rate", scale=100, digits=0),
)
"""Of the point that a rule chooses."""


@dataclass(slots=True, kw_only=True)
class Cell:
    """One figure of one system."""

    value: float
    """Mean over the seeds."""
    span: Span
    seeds: int
    p: float = math.nan
    p_holm: float = math.nan

    @property
    def differs(self) -> bool:
        """Whether it differs from the reference after Holm's correction."""
        return self.p_holm < ALPHA


def of_metric(found: Mapping[int, Draws], metric: str) -> dict[int, Draws]:
    """Seed -> run, of those that have a finite value of a metric."""
    return {s: found[s] for s in sorted(found) if math.isfinite(found[s].values.get(metric, math.nan))}


def mean_cell(found: Mapping[int, Draws], metric: str, level: float) -> Cell | None:
    """Mean and interval; None where no run has the metric."""
    runs = list(of_metric(found, metric).values())
    if not runs:
        return None
    values = [run.values[metric] for run in runs]
    mean = float(np.mean(values))
    questions, seeds = mean_over_questions(metric, runs, level), mean_span(values, level)
    both = over_both(mean, questions, seeds)
    return Cell(value=mean, span=both if both.known else questions, seeds=len(runs))


def column_cells(
    systems: Mapping[str, Mapping[int, Draws]], metric: str, tested: Collection[str], reference: str, level: float
) -> dict[str, Cell]:
    """System -> cell of one column; those of `tested` are compared with `reference`."""
    cells = {name: mean_cell(found, metric, level) for name, found in systems.items()}
    kept = {name: cell for name, cell in cells.items() if cell is not None}
    others = [name for name in kept if name in tested and name != reference] if reference in kept else []
    for name in others:
        sides, matched = _sides(systems[name], systems[reference], metric)
        kept[name].p = p_over_questions(metric, *sides, level, matched)
    for name, p in zip(others, holm([kept[name].p for name in others]), strict=True):
        kept[name].p_holm = float(p)
    return kept


def difference_cell(now: Mapping[int, Draws], reference: Mapping[int, Draws], metric: str, level: float) -> Cell | None:
    """`now` minus `reference` with its interval over questions and seeds; None where a side lacks the metric."""
    (one, other), matched = _sides(now, reference, metric)
    if not (one and other):
        return None
    values = [[run.values[metric] for run in side] for side in (one, other)]
    difference = float(np.mean(values[0]) - np.mean(values[1]))
    questions = over_questions(metric, one, other, level, matched)
    both = over_both(difference, questions, over_seeds(values[0], values[1], level, matched))
    return Cell(value=difference, span=both if both.known else questions, seeds=min(map(len, values)))


def _sides(
    now: Mapping[int, Draws], reference: Mapping[int, Draws], metric: str
) -> tuple[tuple[list[Draws], list[Draws]], bool]:
    """The runs of both sides that have the metric, and whether they have the same seeds."""
    one, other = of_metric(now, metric), of_metric(reference, metric)
    return (list(one.values()), list(other.values())), list(one) == list(other)
