"""Figures that hold several things against one another: signals, chains of tiers, recorded and regraded verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from corea.evaluation.dataset import Evaluation
from corea.evaluation.results import Results
from corea.report import plot_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INKS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7A7A7A", "#222222")
LOOK = {"isotonic": (":", 1.0), "platt": ("--", 1.0)}
"""Line style and width of a recalibrated signal."""


def prepare_signals(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: signal, cost_percent, accuracy, deferral_rate at every threshold of every signal."""
    parts = []
    for row in results.signals.get(name, []):
        line = plot_tables.thin(row.line)
        parts.append(line.assign(signal=row.name, cost_percent=plot_tables.percent_of_llm(line["cost"], e)))
    return pd.concat(parts, ignore_index=True)


def plot_signals(table: pd.DataFrame, ax: Axes) -> None:
    """Accuracy over cost of each signal: one colour a signal, recalibrated ones dotted (isotonic) or dashed (Platt)."""
    names = list(dict.fromkeys(s.split(", ")[0] for s in table["signal"]))
    for signal, part in table.groupby("signal", sort=False):
        base, _, kind = str(signal).partition(", ")
        style, width = LOOK.get(kind, ("-", 2.0))
        color = INKS[names.index(base) % len(INKS)]
        label = None if kind else base
        ax.plot(part["cost_percent"], part["accuracy"], ls=style, lw=width, color=color, label=label)
    for kind, (style, width) in LOOK.items():
        if table["signal"].str.endswith(f", {kind}").any():
            ax.plot([], [], ls=style, lw=width, color=INKS[-1], label=f"recalibrated, {kind}")
    ax.set_ylabel("pass@1")


def prepare_tiers(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: chain, cost_percent, accuracy of the test questions along each chain's calibration frontier."""
    table = results.tiers[name].frontier.sort_values("cost")
    return table.assign(cost_percent=plot_tables.percent_of_llm(table["cost"], e))


def plot_tiers(table: pd.DataFrame, ax: Axes) -> None:
    """Accuracy over cost of each chain of tiers."""
    for number, (chain, part) in enumerate(table.groupby("chain", sort=True)):
        width = 2.4 if str(chain).count("-") > 1 else 1.5
        ax.plot(
            part["cost_percent"],
            part["accuracy"],
            "o-",
            ms=3,
            lw=width,
            color=INKS[number % len(INKS)],
            label=f"tiers {chain}",
        )
    ax.set_ylabel("pass@1")


def prepare_audit(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: verdicts (recorded, regraded), cost_percent, accuracy with its band."""
    assert results.audit is not None, "an audit was made"
    both = results.audit.evaluations[name]
    parts = []
    for label, sweep in (("recorded", both.before_sweep), ("regraded", both.sweep)):
        assert sweep is not None, "evaluated with both verdicts"
        parts.append(sweep.assign(verdicts=label, cost_percent=plot_tables.percent_of_llm(sweep["cost"], e)))
    return pd.concat(parts, ignore_index=True)


def plot_audit(table: pd.DataFrame, ax: Axes) -> None:
    """The cascade by the recorded verdicts and by ours, with bands."""
    for (label, part), color in zip(table.groupby("verdicts", sort=False), INKS[1::-1], strict=False):
        part = plot_tables.thin(part)
        ax.fill_between(part["cost_percent"], part["accuracy_lo"], part["accuracy_hi"], color=color, alpha=0.15, lw=0)
        ax.plot(part["cost_percent"], part["accuracy"], color=color, lw=2, label=f"{label} verdicts")
    ax.set_ylabel("pass@1")


def comparisons(results: Results, shown: Sequence[Evaluation]) -> dict[str, list[tuple[Evaluation, pd.DataFrame]]]:
    """The tables of this module's figures, one panel a dataset; figures without a panel are left out."""
    figures = {
        "signals": [(e, prepare_signals(results, e, e.name)) for e in shown if results.signals.get(e.name)],
        "tiers": [(e, prepare_tiers(results, e, e.name)) for e in shown if e.name in results.tiers],
        "audit": [(e, prepare_audit(results, e, e.name)) for e in shown if results.audit is not None],
    }
    return {name: panels for name, panels in figures.items() if panels}


DRAW = {"signals": plot_signals, "tiers": plot_tiers, "audit": plot_audit}
"""Figure -> what draws one panel of it."""
