"""Markdown tables of the study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from corea.comparing.metric_names import metrics_of
from corea.comparing.paired_figures import Draws
from corea.comparing.run_groups import RunGroup
from corea.comparing.run_sources import read_folder
from corea.comparing.seed_figures import table_over_seeds
from corea.metrics.figures import Figure
from study.cells import POINT, QUALITY, Cell, Column, column_cells, difference_cell
from study.jobs import is_finished
from study.plan import Study, variant_runs
from study.recipes import REFERENCE, Ablation
from study.systems import RULES, System

LEVEL = 0.95
MINUS = "−"
ABLATED = (
    Column(title="pass@1, %", metric="slm/accuracy", scale=100, digits=1),
    Column(title="ECE", metric="slm/ece"),
    Column(title="AUROC", metric="slm/auroc"),
    Column(title="area gain", metric="areas/area_gain"),
    Column(title="cost by max_drop, %", metric="max_drop/cost_change", scale=100, digits=1, signed=True),
    Column(title="pass@1 by it, points", metric="max_drop/accuracy_change", scale=100, digits=1, signed=True),
)
"""Columns of the ablations: the SLM alone, its whole curve, its cascade."""


def number(column: Column, value: float, signed: bool = False) -> str:
    """A value in the unit of its column."""
    if not math.isfinite(value):
        return "–"
    plus = "+" if signed or column.signed else ""
    return f"{column.scale * value:{plus}.{column.digits}f}".replace("-", MINUS)


def figure(column: Column, cell: Cell, signed: bool = False) -> str:
    """Value and interval; † marks an interval over questions alone."""
    text = number(column, cell.value, signed)  # `signed`: a difference
    if cell.span.known:
        ends = cell.span.low, cell.span.high
        if not signed:
            ends = max(ends[0], column.least), min(ends[1], column.most)
        low, high = (number(column, end, signed) for end in ends)
        text += f" ({low} to {high}){'†' if cell.seeds == 1 else ''}"
    return text


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main_table(family: Mapping[str, Mapping[int, Draws]], systems: Sequence[System], rule: str) -> str:
    """One family by one rule; the quality of the signal stands in the table of the first rule alone."""
    columns = (*POINT, *(QUALITY if rule == RULES[0] else ()))
    shown = [system for system in systems if system.name in family]
    cascades = [system.name for system in shown if system.is_cascade]
    found = {
        column.title: column_cells(family, column.metric.replace("RULE", rule), cascades, REFERENCE, LEVEL)
        for column in columns
    }
    best = {column.title: _best(column, found[column.title], cascades) for column in columns}
    rows = []
    for system in shown:
        texts = []
        for column in columns:
            cell = found[column.title].get(system.name)
            if cell is None:
                texts.append("–")
                continue
            text = figure(column, cell) + ("\\*" if cell.differs else "")
            marked = system.is_cascade and cell.value == best[column.title]
            texts.append(f"**{text}**" if marked else text)
        seeds = str(len(family[system.name]))
        rows.append([system.name, seeds, *texts])
    return markdown(["system", "seeds", *(column.title for column in columns)], rows)


def _best(column: Column, cells: Mapping[str, Cell], cascades: Sequence[str]) -> float | None:
    """The best value of the cascades; models alone, random and oracle deferral do not count."""
    values = [cells[name].value for name in cascades if name in cells]
    return column.best(values) if column.best is not None and values else None


def difference_table(family: Mapping[str, Mapping[int, Draws]], systems: Sequence[System]) -> str:
    """Each cascade minus the reference, with intervals and Holm's p-values; "" without another one."""
    columns = [column for column in QUALITY if column.metric != "areas/area_gain"]
    cascades = [system.name for system in systems if system.is_cascade]
    tested = {column.title: column_cells(family, column.metric, cascades, REFERENCE, LEVEL) for column in columns}
    rows = []
    for name in cascades:
        if name == REFERENCE or name not in family:
            continue
        texts = []
        for column in columns:
            cell = difference_cell(family[name], family[REFERENCE], column.metric, LEVEL)
            p = tested[column.title][name].p_holm if name in tested[column.title] else math.nan
            shown = "–" if math.isnan(p) else f"{p:.3f}" if p >= 0.001 else "< 0.001"
            texts += ["–" if cell is None else figure(column, cell, signed=True), shown]
        rows.append([f"{name} − {REFERENCE}", *texts])
    head = [title for column in columns for title in (column.title, "p")]
    return markdown(["difference", *head], rows) if rows else ""


def or_llm_alone(figures: dict[str, dict[str, Figure]]) -> dict[str, dict[str, Figure]]:
    """Family -> metric -> figure of a run, in which max_drop without a threshold is the LLM alone: no change."""
    for family, found in figures.items():
        for column in ABLATED if family != "training" else ():
            if column.metric.startswith("max_drop/"):
                found.setdefault(column.metric, Figure(value=0.0, low=math.nan, high=math.nan, n=0))
    return figures


def ablation_table(study: Study, ablation: Ablation) -> str:
    """Mean over the seeds of each variant, with Student t intervals; "" without a finished run."""
    jobs = {job.name: job for job in study.jobs()}
    groups = []
    for variant in ablation.variants:
        names = variant_runs(ablation, variant, study.seeds)
        done = [name for name in names if is_finished(jobs[name], Path(study.root))]
        if done:
            label = f"{variant.name} ({variant.same_as})" if variant.same_as else variant.name
            groups.append(RunGroup(label=label, keys={}, runs=[read_folder(Path(study.root) / name) for name in done]))
    if not groups:
        return ""
    figures = {run.path: or_llm_alone(metrics_of(run)) for group in groups for run in group.runs}
    families = [name for name in figures[groups[0].runs[0].path] if name not in ("pooled", "training")]
    cells = [(family, column.metric) for family in families for column in ABLATED]
    table = table_over_seeds(groups, figures, cells, LEVEL).set_index(["dataset", "group", "metric"])
    rows = []
    for family in families:
        for group in groups:
            texts = []
            for column in ABLATED:
                row = table.loc[(family, group.label, column.metric)]
                text = number(column, row["mean"])
                for ends, mark in (("seeds", ""), ("questions", "†")):
                    low, high = row[f"{ends}_lo"], row[f"{ends}_hi"]
                    if math.isfinite(low) and math.isfinite(high):
                        text += f" ({number(column, low)} to {number(column, high)}){mark}"
                        break
                texts.append(text)
            rows.append([family, group.label, str(len(group.runs)), *texts])
    return markdown(["family", ablation.name.replace("_", " "), "seeds", *(column.title for column in ABLATED)], rows)
