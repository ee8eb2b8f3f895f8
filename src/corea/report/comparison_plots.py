"""Plots of comparisons: signals, chains of tiers, recorded and regraded verdicts. Tables: plot_tables.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from corea.report.plot_tables import thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INKS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7A7A7A", "#222222")
LOOK = {"isotonic": (":", 1.0), "platt": ("--", 1.0)}
"""Line style and width of a recalibrated signal."""


def plot_signals(table: pd.DataFrame, ax: Axes) -> None:
    """Accuracy over cost, one colour per signal; recalibrated signals are dotted (isotonic) or dashed (Platt)."""
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


def plot_audit(table: pd.DataFrame, ax: Axes) -> None:
    """The cascade with the recorded verdicts and with corea's, with bands."""
    for (label, part), color in zip(table.groupby("verdicts", sort=False), INKS[1::-1], strict=False):
        part = thin(part)
        ax.fill_between(part["cost_percent"], part["accuracy_lo"], part["accuracy_hi"], color=color, alpha=0.15, lw=0)
        ax.plot(part["cost_percent"], part["accuracy"], color=color, lw=2, label=f"{label} verdicts")
    ax.set_ylabel("pass@1")


DRAW = {"signals": plot_signals, "tiers": plot_tiers, "audit": plot_audit}
"""Figure -> function that plots one panel of it."""
