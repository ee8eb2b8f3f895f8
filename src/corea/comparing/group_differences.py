"""The table of differences: every group against the reference, dataset by dataset and metric by metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corea.comparing.paired_figures import (
    Draws,
    draw_figures,
    over_both,
    over_questions,
    over_seeds,
    p_over_questions,
    questions_of,
    require_same_questions,
    same_seeds,
)
from corea.comparing.run_groups import RunGroup
from corea.comparing.run_sources import ComparedRun, shared_bootstrap
from corea.comparing.seed_figures import Span
from corea.config.cascade_schema import CascadeConfig
from corea.display import progress, tick
from corea.evaluation.question_sets import QuestionSets
from corea.metrics.figures import Figure
from corea.metrics.paired_tests import holm

COLUMNS = ("questions", "seeds", "both")
"""Kinds of intervals."""


@dataclass(slots=True, kw_only=True)
class Differences:
    """Groups against the reference."""

    table: pd.DataFrame
    """dataset, metric, group, reference, difference, low and high end of each of COLUMNS (questions_lo, ...), and
    p_questions, the two-sided p-value over questions, with p_holm, corrected for the groups of the dataset and metric
    (metrics/paired_tests.py)."""
    notes: list[str]


def measure_differences(
    groups: Sequence[RunGroup],
    reference: RunGroup,
    figures: dict[str, dict[str, dict[str, Figure]]],
    cells: Sequence[tuple[str, str]],
    cfg: CascadeConfig,
) -> Differences:
    """Measure the differences of the metrics `cells` (dataset, metric); `figures`: path -> dataset -> metric.

    Raises:
        UserError: runs were tested on different questions.
    """
    others = [group for group in groups if group is not reference]
    notes: list[str] = []
    runs = [run for group in groups for run in group.runs]
    lacking = [run.name for run in runs if run.evaluation is None]
    if lacking:
        some = ", ".join(lacking[:3]) + (", …" if len(lacking) > 3 else "")
        notes.append(f"no answers table in {some}: differences have no interval over questions")
    asked = {} if lacking else {run.path: questions_of(run, cfg) for run in runs}
    rows: list[dict[str, Any]] = []
    datasets = list(dict.fromkeys(name for name, _ in cells))
    drawn = {}
    with progress("differences", len(datasets) * len(asked)):
        for dataset in datasets if asked else ():
            metrics = [metric for name, metric in cells if name == dataset]
            drawn[dataset] = _draws(runs, asked, dataset, metrics, cfg, notes)
    for dataset in datasets:
        metrics = [metric for name, metric in cells if name == dataset]
        draws = drawn.get(dataset, {})
        for metric in metrics:
            found = [_row(metric, group, reference, figures, dataset, draws, cfg.level) for group in others]
            known = [row for row in found if row is not None]
            corrected = holm([row["p_questions"] for row in known])
            for row, p_holm in zip(known, corrected, strict=True):
                rows.append({"dataset": dataset, "metric": metric, **row, "p_holm": float(p_holm)})
    return Differences(table=pd.DataFrame(rows), notes=list(dict.fromkeys(notes)))


def _draws(
    runs: Sequence[ComparedRun],
    asked: dict[str, QuestionSets],
    dataset: str,
    metrics: Sequence[str],
    cfg: CascadeConfig,
    notes: list[str],
) -> dict[str, Draws]:
    """Run -> its draws on one dataset; empty if a run does not have the dataset."""
    found: dict[str, Draws] = {}
    first = runs[0]
    for run in runs:
        assert run.evaluation is not None
        sets = asked[run.path]
        if not sets.inside(dataset).any():
            return {}
        cascade = shared_bootstrap(run.evaluation.cascade, cfg)
        test, known, _ = sets.parts(dataset, cascade)
        of_first = asked[first.path].parts(dataset, first.evaluation.cascade if first.evaluation else cascade)
        require_same_questions(of_first[0], test, (first.path, run.path), dataset, "test")
        ids = [None if part is None else part.question_id.tolist() for part in (of_first[1], known)]
        if ids[0] != ids[1]:
            notes.append(
                f"{dataset}: the runs have different calibration questions, so their thresholds are not paired"
            )
        found[run.path] = draw_figures(test, known, dataset, cascade, metrics)
        tick()
    return found


def _row(
    metric: str,
    group: RunGroup,
    reference: RunGroup,
    figures: dict[str, dict[str, dict[str, Figure]]],
    dataset: str,
    draws: dict[str, Draws],
    level: float,
) -> dict[str, Any] | None:
    """One difference; None where a run lacks the metric."""
    matched = same_seeds(group, reference)
    sides = [sorted(g.runs, key=lambda run: run.seed or 0) if matched else g.runs for g in (group, reference)]
    values = [[_value(figures, run, dataset, metric) for run in side] for side in sides]
    if not all(math.isfinite(value) for side in values for value in side):
        return None
    difference = float(np.mean(values[0]) - np.mean(values[1]))
    drawn = [[draws[run.path] for run in side if run.path in draws] for side in sides]
    paired = all(drawn)
    questions = over_questions(metric, drawn[0], drawn[1], level, matched) if paired else Span()
    p = p_over_questions(metric, drawn[0], drawn[1], level, matched) if paired else math.nan
    seeds = over_seeds(values[0], values[1], level, matched)
    spans = {"questions": questions, "seeds": seeds, "both": over_both(difference, questions, seeds)}
    ends = {
        f"{name}_{end}": getattr(span, w) for name, span in spans.items() for end, w in (("lo", "low"), ("hi", "high"))
    }
    return {"group": group.label, "reference": reference.label, "difference": difference, **ends, "p_questions": p}


def _value(figures: dict[str, dict[str, dict[str, Figure]]], run: ComparedRun, dataset: str, metric: str) -> float:
    figure = figures[run.path].get(dataset, {}).get(metric)
    return figure.value if figure is not None else math.nan
