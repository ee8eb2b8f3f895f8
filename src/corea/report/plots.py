"""Plots of an evaluation as PNG and SVG, one panel per dataset. The tables come from plot_tables.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corea.display import progress
from corea.evaluation.dataset import Evaluation
from corea.evaluation.results import Results
from corea.report import plot_tables
from corea.report.comparison_plots import DRAW
from corea.report.plot_tables import comparisons, thin
from corea.report.sentences import percent, points
from corea.runtime import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# palette of Okabe and Ito, distinguishable with common colour blindness
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, GREY, BLACK = "#CC79A7", "#7A7A7A", "#222222"
RULES = {
    "llm_accuracy": ("D", VERMILION, "rule llm_accuracy"),
    "max_drop": ("s", PURPLE, "rule max_drop"),
    "budget": ("P", BLACK, "rule budget"),
    "guarantee": ("X", GREEN, "rule guarantee"),
    "fixed": ("^", ORANGE, "rule fixed"),
}
"""Marker, colour and label of each rule."""
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # else every drawing looks for ticks above the axes, of which there are none
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "corea",
}


def plot_all(results: Results, folder: Path) -> list[Path]:
    """Plot every figure that the results allow; returns the PNG paths."""
    import matplotlib

    shown = list(results.datasets.values())
    figures: dict[str, Callable[[], Figure | None]] = {
        "pareto": lambda: _panels(shown, plot_pareto, plot_tables.prepare_pareto, size=(4.6, 4.2)),
        "reliability": lambda: _panels(shown, plot_reliability, plot_tables.prepare_reliability, size=(3.7, 3.7)),
        "confidence": lambda: _histograms(shown),
        "thresholds": lambda: _panels(shown, plot_thresholds, plot_tables.prepare_thresholds, size=(4.4, 3.6)),
        "training": lambda: _training(plot_tables.prepare_training(results.training)),
    }
    for name, panels in comparisons(results, shown).items():
        figures[name] = partial(_compared, name, panels)
    paths = []
    with matplotlib.rc_context(STYLE), progress("plots", len(figures)) as bar:
        for name, draw in figures.items():
            figure = draw()
            if figure is not None:
                paths.append(save_figure(figure, folder, name))
            bar.advance()
    return paths


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write NAME.png and NAME.svg; returns the former."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # Not by savefig, which draws each file twice.
    with atomic_write(folder / f"{name}.svg") as temporary:
        FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})
    figure.set_layout_engine("none")  # the second file keeps the layout of the first
    figure.set_dpi(160)
    with atomic_write(folder / f"{name}.png") as temporary:
        FigureCanvasAgg(figure).print_png(temporary)
    return folder / f"{name}.png"


def panel_grid(panels: int, size: tuple[float, float], across: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of so many axes, each `size` inches, `across` in a row."""
    from matplotlib.figure import Figure

    columns = min(panels, across)
    rows = -(-panels // columns)
    figure = Figure(figsize=(columns * size[0], rows * size[1]), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def _panels(
    shown: Sequence[Evaluation],
    plot: Callable[[pd.DataFrame, Axes, Evaluation], Any],
    table: Callable[[Evaluation], pd.DataFrame],
    size: tuple[float, float],
) -> Figure:
    """One panel per dataset, one legend for all below."""
    figure, axes = panel_grid(len(shown), size)
    for evaluation, ax in zip(shown, axes, strict=True):
        plot(table(evaluation), ax, evaluation)
        ax.set_title(f"{evaluation.name} (n = {evaluation.questions:,})", loc="left")
    shared_legend(figure, axes)
    return figure


def _compared(name: str, panels: Sequence[tuple[Evaluation, pd.DataFrame]]) -> Figure:
    """One panel per dataset of a figure of comparison_plots."""
    figure, axes = panel_grid(len(panels), (4.6, 4.0))
    for (evaluation, table), ax in zip(panels, axes, strict=True):
        DRAW[name](table, ax)
        ax.axvline(100, color=GREY, lw=0.8, zorder=0)
        ax.set_title(f"{evaluation.name} (n = {evaluation.questions:,})", loc="left")
        ax.set_xlabel(plot_tables.cost_label(evaluation))
    shared_legend(figure, axes)
    return figure


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend below all axes, each label once."""
    entries: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = min(len(entries), 2 if len(axes) == 1 else 4)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=max(columns, 1))


def plot_pareto(table: pd.DataFrame, ax: Axes, evaluation: Evaluation) -> None:
    """Cost against pass@1: cascade with its band, both models alone, random deferral, oracle, operating points."""
    series = dict(tuple(table.groupby("series", sort=False)))
    line = thin(series["cascade"])
    ax.plot("cost_percent", "accuracy", data=series["oracle"], color=GREEN, ls=":", lw=1.6, label="oracle deferral")
    ax.plot("cost_percent", "accuracy", data=series["random"], color=GREY, ls="--", lw=1.4, label="random deferral")
    if "before" in series:
        old = thin(series["before"])
        ax.plot(old["cost_percent"], old["accuracy"], color=ORANGE, lw=1.4, label="cascade before RL")
    ax.fill_between(
        line["cost_percent"],
        line["accuracy_lo"],
        line["accuracy_hi"],
        color=BLUE,
        alpha=0.18,
        lw=0,
        label="interval of the cascade",
    )
    dots: dict[str, Any] = {"marker": "o", "ms": 3.5} if len(line) <= 60 else {}
    ax.plot(line["cost_percent"], line["accuracy"], color=BLUE, lw=2, label="cascade", **dots)
    for name, label, marker in (("slm", "SLM alone", "v"), ("llm", "LLM alone", "*")):
        ax.plot(
            "cost_percent",
            "accuracy",
            marker,
            data=series[name],
            color=BLACK,
            ms=11 if marker == "*" else 8,
            label=label,
        )
    for rule, (marker, color, label) in RULES.items():
        if rule in series and len(own := series[rule][series[rule]["chosen_on"] == evaluation.name]):
            ax.plot(own["cost_percent"], own["accuracy"], marker, color=color, ms=8, mec="white", label=label)
    ax.axvline(100, color=GREY, lw=0.8, zorder=0)
    ax.set_xlim(left=-3)
    ax.set_xlabel(plot_tables.cost_label(evaluation))
    ax.set_ylabel("pass@1")
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.12 * (high - low), high)  # room for the text
    ax.text(0.97, 0.03, _rule_text(evaluation), transform=ax.transAxes, ha="right", fontsize=9)


def _rule_text(evaluation: Evaluation) -> str:
    """Cost and accuracy change of the rules that found a threshold, one line each."""
    lines = []
    for point in evaluation.points:
        if point.figures and point.chosen_on == evaluation.name and point.choice.rule != "fixed":
            cost, accuracy = (point.figures[k].value for k in ("cost_change", "accuracy_change"))
            lines.append(f"{point.choice.rule}: cost {percent(cost)}, pass@1 {points(accuracy)}")
    return "\n".join(lines)


def plot_reliability(table: pd.DataFrame, ax: Axes, evaluation: Evaluation) -> None:
    """Accuracy of each confidence bin with Wilson intervals, before and after; the area of a dot is its share."""
    ax.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2, label="calibrated")
    kinds = (("before", ORANGE, evaluation.before), ("after", BLUE, evaluation.small))
    for when, color, part in kinds:
        rows = table[table["when"] == when]
        if part is None or not len(rows):
            continue
        label = f"{when} RL" if evaluation.before is not None else "SLM"
        bars = np.abs(rows[["low", "high"]].to_numpy().T - rows["accuracy"].to_numpy())
        ax.errorbar(rows["confidence"], rows["accuracy"], yerr=bars, fmt="none", ecolor=color, elinewidth=1, alpha=0.6)
        area = 12 + 260 * rows["n"] / rows["n"].sum()
        ax.plot(rows["confidence"], rows["accuracy"], color=color, lw=1.2, label=label)
        ax.scatter(rows["confidence"], rows["accuracy"], s=area, color=color, alpha=0.85, lw=0)
    ece = {when: part.figures["ece"].value for when, _, part in kinds if part is not None}
    text = "\n".join(f"ECE {when + ' ' if len(ece) > 1 else ''}{value:.3f}" for when, value in ece.items())
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1}
    ax.text(0.03, 0.97, text, transform=ax.transAxes, va="top", bbox=ground)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="stated confidence", ylabel="share right")


def _histograms(shown: Sequence[Evaluation]) -> Figure:
    """Confidence histograms, one column per dataset, before RL above after."""
    from matplotlib.figure import Figure

    kinds = ["before", "after"] if any(e.before is not None for e in shown) else ["after"]
    figure = Figure(figsize=(4.2 * len(shown), 2.7 * len(kinds)), layout="constrained")
    axes = figure.subplots(len(kinds), len(shown), squeeze=False, sharex=True)
    for column, evaluation in enumerate(shown):
        table = plot_tables.prepare_histogram(evaluation)
        for row, when in enumerate(kinds):
            plot_histogram(table[table["when"] == when], axes[row, column])
            title = f"{evaluation.name}, {when} RL" if len(kinds) > 1 else evaluation.name
            axes[row, column].set_title(title, loc="left")
            axes[row, column].set_xlabel("stated confidence" if row == len(kinds) - 1 else "")
            axes[row, column].set_ylabel("answers" if column == 0 else "")
    shared_legend(figure, list(np.ravel(axes)))
    return figure


def plot_histogram(table: pd.DataFrame, ax: Axes) -> None:
    """Stacked bars: right answers below, wrong ones on top."""
    ax.bar(table["confidence"], table["right"], table["width"], color=BLUE, label="right")
    ax.bar(
        table["confidence"],
        table["wrong"],
        table["width"],
        table["right"],
        color=ORANGE,
        label="wrong",
        hatch="///",
        ec="white",
        lw=0,
    )
    ax.set_xlim(-0.05, 1.05)


def plot_thresholds(table: pd.DataFrame, ax: Axes, evaluation: Evaluation) -> None:
    """Accuracy and deferral rate over the threshold with bands, and the thresholds of the rules."""
    table = thin(table)
    kinds = (
        ("accuracy", "accuracy", BLUE, "-", "accuracy"),
        ("deferral_rate", "deferral", VERMILION, "--", "deferral rate"),
    )
    for column, band, color, style, label in kinds:
        ax.fill_between(
            table["threshold"], table[f"{band}_lo"], table[f"{band}_hi"], color=color, alpha=0.15, lw=0, step="pre"
        )
        ax.step(table["threshold"], table[column], color=color, ls=style, lw=1.8, label=label, where="pre")
    ax.axhline(evaluation.large["accuracy"].value, color=BLACK, ls=":", lw=1.2, label="LLM alone, accuracy")
    for point in evaluation.points:
        marker, color, label = RULES.get(point.choice.rule, ("o", GREY, point.choice.rule))
        threshold = point.choice.threshold
        if threshold is not None and point.figures and point.chosen_on == evaluation.name:
            ax.plot(
                threshold,
                point.figures["accuracy"].value,
                marker,
                color=color,
                ms=8,
                mec="white",
                label=label,
            )
    ax.set(xlim=(-0.02, 1.03), ylim=(-0.02, 1.02), xlabel="threshold (defer when confidence < threshold)")


def _training(table: pd.DataFrame) -> Figure | None:
    if table.empty:
        return None
    groups = list(table.groupby("panel", sort=False))
    figure, axes = panel_grid(len(groups), (3.2, 2.2), across=4)
    for (title, part), ax in zip(groups, axes, strict=True):
        plot_training(part, ax)
        ax.set_title(title, loc="left")
    return figure


def plot_training(table: pd.DataFrame, ax: Axes) -> None:
    """One training metric: every step in a light colour, and its running mean."""
    ax.plot(table["step"], table["value"], color=BLUE, lw=0.8, alpha=0.35)
    ax.plot(table["step"], table["smooth"], color=BLUE, lw=1.8)
    ax.set_xlabel("step")
