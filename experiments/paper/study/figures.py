"""Figures of the study: one Pareto figure a family, reliability diagrams side by side. Numbers first, then ink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from corea.comparing.overlay_plots import look_of
from corea.comparing.overlays import RATES
from corea.comparing.paired_figures import Draws
from corea.evaluation.ece_figures import stated
from corea.metrics.calibration import reliability
from corea.metrics.cascade_curve import curve, oracle
from corea.report.plots import BLACK, BLUE, GREY, STYLE, panel_grid, shared_legend
from study.recipes import REFERENCE
from study.systems import ALONE, ORACLE, RANDOM, ROUTER, RULES, System

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = dict(zip(RULES, "Ds", strict=True))
DPI = 110


def prepare_curve(system: System, runs: Mapping[int, Draws]) -> pd.DataFrame:
    """cost_percent, accuracy: mean over the seeds at the same deferral rates."""
    lines = []
    for draws in runs.values():
        levels = draws.levels
        if system.kind == ORACLE:
            table = oracle(levels)
            rate, cost, accuracy = (table[name].to_numpy() for name in ("deferral_rate", "cost", "accuracy"))
        else:
            line = curve(levels.observed)
            rate, cost, accuracy = line.deferral_rate, line.cost, line.accuracy
        if system.kind == RANDOM:
            rate, cost, accuracy = (np.asarray(part)[[0, -1]] for part in (rate, cost, accuracy))
        llm = levels.llm_cost.mean() + (levels.slm_cost.mean() if system.kind == ROUTER else 0.0)
        lines.append([np.interp(RATES, rate, 100 * cost / llm), np.interp(RATES, rate, accuracy)])
    cost, accuracy = np.mean(lines, axis=0)
    return pd.DataFrame({"cost_percent": cost, "accuracy": accuracy})


def prepare_points(runs: Mapping[int, Draws]) -> pd.DataFrame:
    """rule, cost_percent, accuracy: mean over the seeds, of the rules that found a threshold in each of them."""
    rows = []
    for rule in RULES:
        values = [draws.values for draws in runs.values()]
        if all(f"{rule}/accuracy" in of for of in values):
            cost = 100 * (1 + np.mean([of[f"{rule}/cost_change"] for of in values]))
            rows.append((rule, cost, np.mean([of[f"{rule}/accuracy"] for of in values])))
    return pd.DataFrame(rows, columns=["rule", "cost_percent", "accuracy"])


def plot_pareto(ax: Axes, systems: Sequence[System], family: Mapping[str, Mapping[int, Draws]]) -> None:
    """The curve of every cascade with the points of both rules; models alone; random and oracle deferral."""
    number = 0
    for system in systems:
        if system.name not in family:
            continue
        runs = family[system.name]
        if system.kind in (RANDOM, ORACLE):
            line = prepare_curve(system, runs)
            dash = "--" if system.kind == RANDOM else ":"
            ax.plot(line["cost_percent"], line["accuracy"], color=GREY, ls=dash, lw=1.3, label=system.name, zorder=1)
        elif system.is_cascade:
            color, dash = look_of(number)
            number += 1
            line, points = prepare_curve(system, runs), prepare_points(runs)
            ax.plot(
                line["cost_percent"],
                line["accuracy"],
                color=color,
                ls=dash,
                lw=2.6 if system.name == REFERENCE else 1.5,
                label=system.name,
            )
            for rule, cost, accuracy in points.itertuples(index=False):
                ax.plot(cost, accuracy, MARKS[rule], color=color, ms=6, mec="white")
        elif system.kind == ALONE:
            values = [draws.values for draws in runs.values()]
            cost = 100 * (1 + np.mean([of["max_drop/cost_change"] for of in values]))
            ax.plot(cost, np.mean([of["max_drop/accuracy"] for of in values]), "v", color=BLACK, ms=5)
        else:
            ax.plot(100, np.mean([d.values["max_drop/accuracy"] for d in runs.values()]), "*", color=BLACK, ms=11)
    for label, mark, color in (
        ("SLM alone", "v", BLACK),
        ("LLM alone", "*", BLACK),
        *((f"rule {rule}", mark, GREY) for rule, mark in MARKS.items()),
    ):
        ax.plot([], [], mark, color=color, ms=7, label=label)
    ax.axvline(100, color=GREY, lw=0.8, zorder=0)
    ax.set(xlabel="cost, % of the LLM alone", ylabel="pass@1")


def prepare_reliability(runs: Mapping[int, Draws]) -> pd.DataFrame:
    """The bins of the reliability diagram over the answers of all seeds."""
    parts = [(*stated(draws.levels, draws.levels.observed),) for draws in runs.values()]
    value, wrong, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    cfg = next(iter(runs.values())).cfg
    return reliability(value, wrong, right, cfg.bins, cfg.ece_edges, cfg.level)


def plot_reliability(table: pd.DataFrame, ax: Axes, ece: float) -> None:
    """Share of right answers in each bin; the area of a dot is its share of the answers."""
    ax.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
    ax.plot(table["confidence"], table["accuracy"], color=BLUE, lw=1.1)
    ax.scatter(table["confidence"], table["accuracy"], s=8 + 180 * table["n"] / table["n"].sum(), color=BLUE, lw=0)
    ax.text(0.04, 0.96, f"ECE {ece:.3f}", transform=ax.transAxes, va="top", fontsize=9)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG of moderate size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def plot_study(
    results: Mapping[str, Mapping[str, Mapping[int, Draws]]], systems: Sequence[System], folder: Path, prefix: str
) -> dict[str, Path]:
    """PREFIX_pareto_FAMILY.png of each family and PREFIX_reliability.png; name -> path."""
    import matplotlib

    found = {}
    with matplotlib.rc_context(STYLE):
        for family, measured in results.items():
            figure, axes = panel_grid(1, (7.2, 5.6))
            plot_pareto(axes[0], systems, measured)
            axes[0].set_title(family, loc="left")
            shared_legend(figure, [axes[0], axes[0], axes[0]])
            name = f"pareto_{family}"
            found[name] = save(figure, folder / f"{prefix}_{name}.png")
        rows = [s for s in systems if s.kind == ALONE and any(s.name in measured for measured in results.values())]
        if rows:
            figure = _reliabilities(results, rows)
            found["reliability"] = save(figure, folder / f"{prefix}_reliability.png")
    return found


def _reliabilities(results: Mapping[str, Mapping[str, Mapping[int, Draws]]], rows: Sequence[System]) -> Figure:
    """One row a family, one column an SLM."""
    figure, axes = panel_grid(len(results) * len(rows), (2.2, 2.3), across=len(rows))
    places = iter(axes)
    for line, (family, measured) in enumerate(results.items()):
        for column, system in enumerate(rows):
            ax = next(places)
            if line == 0:
                ax.set_title(system.name.removeprefix("SLM alone, "), loc="left")
            if column == 0:
                ax.set_ylabel(family)
            if line == len(results) - 1:
                ax.set_xlabel("stated confidence")
            runs = measured.get(system.name)
            if runs:
                ece = float(np.mean([draws.values["slm/ece"] for draws in runs.values()]))
                plot_reliability(prepare_reliability(runs), ax, ece)
    return figure
