"""The comparison as one object, which tables, plots and page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from corea.comparing.group_differences import measure_differences
from corea.comparing.metric_names import DEFAULT, DEFAULT_TRAINING, TRAINING, metrics_of, resolve_metrics
from corea.comparing.overlays import overlay_unit, prepare_curves, prepare_overlay
from corea.comparing.run_groups import RunGroup, grouped_runs, reference_group
from corea.comparing.run_sources import ComparedRun, read_runs
from corea.comparing.seed_figures import runs_table, table_over_seeds
from corea.config.checks import shown
from corea.config.roots import CompareConfig
from corea.errors import UserError
from corea.evaluation.question_sets import POOLED
from corea.metrics.figures import Figure
from corea.prices import USD


@dataclass(slots=True, kw_only=True)
class Comparison:
    """Everything that a comparison found."""

    groups: list[RunGroup]
    """The reference first."""
    datasets: list[str]
    """Datasets of the table, "training" for the metrics of metrics.jsonl."""
    metrics: list[str]
    table: pd.DataFrame
    """See table_over_seeds."""
    runs: pd.DataFrame
    """See runs_table."""
    differences: pd.DataFrame
    """See group_differences.Differences; empty with one group or differences=false."""
    overlay: pd.DataFrame
    """See prepare_overlay."""
    unit: str
    """Unit of the overlay's costs."""
    curves: pd.DataFrame
    """See prepare_curves."""
    notes: list[str]
    level: float
    resamples: int

    @property
    def reference(self) -> RunGroup:
        """The group that the others are compared with."""
        return self.groups[0]

    @property
    def cost_label(self) -> str:
        """Axis label of the overlay's costs."""
        return "cost, % of the LLM alone" if self.unit == USD else "LLM calls per 100 questions"


def compare_runs(cfg: CompareConfig) -> Comparison:
    """Read the runs, group them and compare the groups. Raises UserError for what cannot be compared."""
    runs = read_runs(cfg)
    groups = grouped_runs(runs, cfg.ignore)
    reference = reference_group(groups, cfg.reference)
    groups = [reference, *(group for group in groups if group is not reference)]
    figures = {run.path: metrics_of(run) for run in runs}
    metrics = _metrics(cfg, runs, figures)
    cells = _cells(cfg, figures, metrics)
    datasets = list(dict.fromkeys(name for name, _ in cells))
    notes = _notes(runs, groups)
    differences = pd.DataFrame()
    if cfg.differences and len(groups) > 1:
        found = measure_differences(groups, reference, figures, cells, cfg.cascade)
        differences, notes = found.table, [*notes, *found.notes]
    table = table_over_seeds(groups, figures, cells, cfg.cascade.level)
    return Comparison(
        groups=groups,
        datasets=datasets,
        metrics=metrics,
        table=table,
        runs=runs_table(groups, figures, cells),
        differences=differences,
        overlay=prepare_overlay(groups, [name for name in datasets if name != TRAINING], cfg.cascade.level),
        unit=overlay_unit(groups),
        curves=prepare_curves(groups),
        notes=[*notes, *_partial(table, groups)],
        level=cfg.cascade.level,
        resamples=cfg.cascade.resamples,
    )


def _metrics(
    cfg: CompareConfig, runs: Sequence[ComparedRun], figures: dict[str, dict[str, dict[str, Figure]]]
) -> list[str]:
    """Names of the metrics that the table shows."""
    known = [metric for datasets in figures.values() for part in datasets.values() for metric in part]
    if cfg.metrics:
        return resolve_metrics(cfg.metrics, known)
    default = DEFAULT if any(run.document is not None for run in runs) else DEFAULT_TRAINING
    return [metric for metric in default if metric in known]


def _cells(
    cfg: CompareConfig, figures: dict[str, dict[str, dict[str, Figure]]], metrics: Sequence[str]
) -> list[tuple[str, str]]:
    """(dataset, metric) of the table: every dataset of any run; "pooled" only if it is asked for."""
    known = list(dict.fromkeys(name for datasets in figures.values() for name in datasets))
    unknown = [name for name in cfg.datasets if name not in known]
    if unknown:
        raise UserError(f"datasets={unknown[0]}: allowed is {', '.join(known)}")
    names = cfg.datasets or [name for name in known if name != POOLED]
    names = sorted(names, key=lambda name: name == TRAINING)
    cells = [
        (name, metric)
        for name in names
        for metric in metrics
        if any(metric in datasets.get(name, {}) for datasets in figures.values())
    ]
    if not cells:
        raise UserError(f"metrics={shown(metrics)}: not in the datasets {', '.join(names)}")
    return cells


def _notes(runs: Sequence[ComparedRun], groups: Sequence[RunGroup]) -> list[str]:
    notes = []
    if all(run.document is None for run in runs):
        notes.append(
            "no run has metrics.json: the figures are those of metrics.jsonl; corea.collect and corea.evaluate "
            "add those of the cascade"
        )
    if len(groups) == 1:
        notes.append("the runs differ in nothing but the seed: there is one group and no difference")
    elif any(len(group.runs) == 1 for group in groups):
        notes.append("a group of one run has no interval over seeds")
    return notes


def _partial(table: pd.DataFrame, groups: Sequence[RunGroup]) -> list[str]:
    """Notes on metrics that only some runs of a group have, e.g. if a rule found no threshold."""
    sizes = {group.label: len(group.runs) for group in groups}
    rows = table[(table["runs"] < table["group"].map(sizes))]
    return [
        f"{row.dataset}, {row.group}: {row.runs} of {sizes[row.group]} runs have {row.metric}"
        for row in rows.itertuples()
    ][:10]
