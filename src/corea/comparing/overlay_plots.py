"""Plots of a comparison as PNG and SVG: one Pareto panel a dataset, and training curves. Tables: overlays.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from corea.comparing.comparison import Comparison
from corea.comparing.overlays import MEAN
from corea.report.comparison_plots import INKS
from corea.report.plots import GREY, STYLE, panel_grid, save_figure, shared_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plot = Callable[[pd.DataFrame, "Axes", list[str]], None]
"""Draws the groups of a table with these labels."""
DASHES = ("-", "--", ":")
"""Line styles; the next one is used when all colours are."""


def plot_comparison(found: Comparison, folder: Path) -> list[Path]:
    """Plot what the comparison has; returns the PNG paths."""
    import matplotlib

    labels = [group.label for group in found.groups]
    paths = []
    with matplotlib.rc_context(STYLE):
        if len(found.overlay):
            plot = partial(plot_overlay, cost_label=found.cost_label)
            figure = _panels(found.overlay, "dataset", plot, labels, (4.6, 4.2))
            paths.append(save_figure(figure, folder, "pareto"))
        if len(found.curves):
            figure = _panels(found.curves, "panel", plot_curves, labels, (3.2, 2.3), across=4)
            paths.append(save_figure(figure, folder, "training"))
    return paths


def look_of(number: int) -> tuple[str, str]:
    """Colour and line style of the n-th group."""
    return INKS[number % len(INKS)], DASHES[number // len(INKS) % len(DASHES)]


def _groups(table: pd.DataFrame, labels: list[str]) -> Iterator[tuple[pd.DataFrame, str, str, str]]:
    """Rows, label, colour and line style of each group."""
    for number, label in enumerate(labels):
        yield table[table["group"] == label], label, *look_of(number)


def _panels(
    table: pd.DataFrame, by: str, plot: Plot, labels: list[str], size: tuple[float, float], **grid: Any
) -> Figure:
    """One panel for each value of the column `by`, with one legend."""
    parts = list(table.groupby(by, sort=False))
    figure, axes = panel_grid(len(parts), size, **grid)
    for (title, part), ax in zip(parts, axes, strict=True):
        plot(part, ax, labels)
        ax.set_title(str(title), loc="left")
    shared_legend(figure, axes)
    return figure


def plot_overlay(table: pd.DataFrame, ax: Axes, labels: list[str], cost_label: str = "") -> None:
    """Cost against pass@1: curve and band of each group, its operating point, and the LLM alone."""
    for own, label, color, dash in _groups(table, labels):
        line, point, llm = (own[own["kind"] == kind] for kind in ("curve", "point", "llm"))
        if not len(line):
            continue
        ax.fill_between(line["cost_percent"], line["low"], line["high"], color=color, alpha=0.12, lw=0)
        ax.plot(line["cost_percent"], line["accuracy"], color=color, ls=dash, lw=1.9, label=label)
        ax.plot(point["cost_percent"], point["accuracy"], "D", color=color, ms=7, mec="white")
        ax.plot(llm["cost_percent"], llm["accuracy"], "*", color=color, ms=11, mec="white")
    ax.plot([], [], "D", color=GREY, ms=7, mec="white", label="by the rule")
    ax.plot([], [], "*", color=GREY, ms=11, mec="white", label="LLM alone")
    ax.axvline(100, color=GREY, lw=0.8, zorder=0)
    ax.set_xlabel(cost_label)
    ax.set_ylabel("pass@1")


def plot_curves(table: pd.DataFrame, ax: Axes, labels: list[str]) -> None:
    """One training metric: the mean of each group, and its runs in a light colour."""
    for own, label, color, dash in _groups(table, labels):
        runs = own[own["run"] != MEAN].groupby("run", sort=False)
        if len(runs) > 1:
            for _, line in runs:
                ax.plot(line["step"], line["value"], color=color, lw=0.7, alpha=0.35)
        mean = own[own["run"] == MEAN]
        dots: dict[str, Any] = {"marker": "o", "ms": 3} if len(mean) <= 20 else {}
        ax.plot(mean["step"], mean["value"], color=color, ls=dash, lw=1.7, label=label, **dots)
    ax.set_xlabel("step")
