"""comparison.html: one self-contained file in the style of report.html, which needs no network."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corea.comparing.comparison import Comparison
from corea.comparing.figure_text import (
    difference_cell,
    difference_words,
    heading,
    mean_cell,
    number,
    table_words,
)
from corea.comparing.overlays import MEAN
from corea.report.html_parts import html_table, render_template
from corea.report.plot_tables import thin
from corea.runtime import atomic_write

WEB = Path(__file__).parent / "web"


def write_page(found: Comparison, path: Path) -> Path:
    """Write the page; returns its path."""
    with atomic_write(path) as temporary:
        temporary.write_text(render_page(found), encoding="utf-8")
    return path


def render_page(found: Comparison) -> str:
    """The whole page."""
    from markupsafe import Markup

    number_of_runs = sum(len(group.runs) for group in found.groups)
    return render_template(
        WEB / "comparison.html",
        [WEB / "comparison.js"],
        page_data(found),
        title=f"{number_of_runs} runs compared",
        lead=f"{len(found.groups)} groups: "
        + "; ".join(f"{g.label} ({_seeds(g)})" for g in found.groups[:8])
        + ("; …" if len(found.groups) > 8 else ""),
        notes=found.notes,
        datasets=[
            {
                "name": name,
                "means": Markup(means_table(found, name)),
                "differences": Markup(differences_table(found, name)),
            }
            for name in found.datasets
        ],
        reference=found.reference.label,
        has_differences=len(found.differences) > 0,
        has_overlay=len(found.overlay) > 0,
        has_curves=len(found.curves) > 0,
        table_words=table_words(found),
        difference_words=difference_words(found),
        level=f"{100 * found.level:g}",
        runs=Markup(runs_list(found)),
    )


def _seeds(group: Any) -> str:
    known = [str(seed) for seed in group.seeds if seed is not None]
    return f"seeds {', '.join(known)}" if len(known) > 1 else f"seed {known[0]}" if known else "seed unknown"


def means_table(found: Comparison, dataset: str) -> str:
    """HTML table: one row a group, one column a metric."""
    part = found.table[found.table["dataset"] == dataset]
    metrics = list(dict.fromkeys(part["metric"]))
    rows = []
    for group in found.groups:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = "".join(_td(*mean_cell(own.loc[metric])) for metric in metrics)
        rows.append(f"<tr><td>{escape(group.label)}</td><td>{len(group.runs)}</td>{cells}</tr>")
    return _html_table(["group", "runs", *map(heading, metrics)], rows)


def differences_table(found: Comparison, dataset: str) -> str:
    """HTML table: one row a group, one column a metric; a star marks an interval that excludes 0."""
    part = found.differences
    part = part[part["dataset"] == dataset] if len(part) else part
    if not len(part):
        return ""
    metrics = list(dict.fromkeys(part["metric"]))
    rows = []
    for group in found.groups[1:]:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = "".join(_difference(own.loc[metric]) if metric in own.index else "<td>–</td>" for metric in metrics)
        rows.append(f"<tr><td>{escape(group.label)}</td><td>{len(group.runs)}</td>{cells}</tr>")
    return _html_table(["group", "runs", *map(heading, metrics)], rows)


def _difference(row: pd.Series) -> str:
    value, ends, excludes = difference_cell(row)
    return _td(f"{value}{' *' if excludes else ''}", ends)


def runs_list(found: Comparison) -> str:
    """HTML table: the runs with group, seed and path."""
    rows = [
        f"<tr><td>{escape(run.name)}</td><td>{escape(group.label)}</td>"
        f"<td>{'–' if run.seed is None else run.seed}</td><td>{escape(run.path)}</td></tr>"
        for group in found.groups
        for run in group.runs
    ]
    return f'<div class="wide">{_html_table(["run", "group", "seed", "path"], rows)}</div>'


def _td(value: str, ends: str) -> str:
    span = f" <span class=ci>({escape(ends)})</span>" if ends else ""
    return f"<td>{escape(value)}{span}</td>"


def _html_table(head: list[str], rows: list[str]) -> str:
    return html_table([escape(title).replace("/", "/<wbr>").replace("_", "_<wbr>") for title in head], rows)


def page_data(found: Comparison) -> dict[str, Any]:
    """Data of the charts, as web/comparison.js reads it."""
    index = {group.label: number for number, group in enumerate(found.groups)}
    overlay = dict(tuple(found.overlay.groupby("dataset", sort=False)))
    datasets = [
        {"name": name, "groups": _overlay_data(overlay[name], index) if name in overlay else []}
        for name in found.datasets
    ]
    curves = []
    for title, part in found.curves.groupby("panel", sort=False):
        lines = []
        for (label, run), points in part.groupby(["group", "run"], sort=False):
            if run != MEAN and part[part["group"] == label]["run"].nunique() == 2:
                continue  # a single run is its own mean
            points = thin(points, 300)
            lines.append(
                {"name": label, "run": run, "index": index[label], "mean": run == MEAN}
                | {"x": _values(points["step"]), "y": _values(points["value"])}
            )
        curves.append({"title": title, "lines": sorted(lines, key=lambda line: line["mean"])})
    return {"cost_label": found.cost_label, "datasets": datasets, "curves": curves}


def _overlay_data(table: pd.DataFrame, index: dict[str, int]) -> list[dict[str, Any]]:
    groups = []
    for label, part in table.groupby("group", sort=False):
        entry: dict[str, Any] = {"name": label, "index": index[str(label)]}
        for kind in ("curve", "point", "llm"):
            own = part[part["kind"] == kind]
            entry[kind] = {"x": _values(own["cost_percent"]), "y": _values(own["accuracy"]), "text": _hover(own)}
            if kind == "curve" and own["low"].notna().all():
                entry[kind] |= {"low": _values(own["low"]), "high": _values(own["high"])}
        groups.append(entry)
    return groups


def _hover(table: pd.DataFrame) -> list[str]:
    return [
        f"sent to the LLM {100 * row.deferral_rate:.0f} %<br>cost {row.cost_percent:.1f} %<br>"
        f"pass@1 {number('accuracy', row.accuracy)}"
        + (f" ({number('', row.low)} to {number('', row.high)})" if math.isfinite(row.low) else "")
        for row in table.itertuples()
    ]


def _values(values: Any) -> list[float | None]:
    """Six significant digits; null if not finite."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in np.asarray(values, np.float64)]
