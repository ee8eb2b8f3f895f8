"""Plotly figures of one dataset, for notebooks. The tables come from plot_tables.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from corea.evaluation.dataset import Evaluation
from corea.report import plot_tables
from corea.report.plot_tables import thin
from corea.report.plots import BLACK, BLUE, GREEN, GREY, ORANGE, RULES, VERMILION

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SYMBOLS = {"D": "diamond", "s": "square", "P": "cross", "X": "x", "^": "triangle-up"}
"""Marker of plots.RULES -> plotly's name of it."""
CURVES = {
    "oracle": ("oracle deferral", GREEN, "dot"),
    "random": ("random deferral", GREY, "dash"),
    "before": ("cascade before RL", ORANGE, "solid"),
    "cascade": ("cascade", BLUE, "solid"),
}
"""Series of prepare_pareto -> name, colour and dash of its line."""


def curve_figure(e: Evaluation) -> Figure:
    """pass@1 over cost: the cascade at every threshold with its band, both models alone, and the rules' thresholds."""
    table = plot_tables.prepare_pareto(e)
    series = dict(tuple(table.groupby("series", sort=False)))
    figure = _figure(e, plot_tables.cost_label(e), "pass@1")
    _band(figure, thin(series["cascade"]), "cost_percent", "accuracy_lo", "accuracy_hi", BLUE)
    for name, (label, color, dash) in CURVES.items():
        if name in series:
            _line(figure, thin(series[name]), "cost_percent", "accuracy", label, color, dash)
    for name, label in (("slm", "SLM alone"), ("llm", "LLM alone")):
        _point(figure, series[name], label, BLACK, "circle" if name == "slm" else "star")
    for rule, (marker, color, label) in RULES.items():
        if rule in series and len(own := series[rule][series[rule]["chosen_on"] == e.name]):
            _point(figure, own, label, color, SYMBOLS[marker])
    return figure


def threshold_figure(e: Evaluation, rule: str) -> Figure:
    """Accuracy and deferral rate over the threshold, and the threshold of `rule` as a vertical line."""
    table = thin(plot_tables.prepare_thresholds(e))
    figure = _figure(e, "threshold (defer when confidence < threshold)", "share of questions")
    for column, stem, color, label in (
        ("accuracy", "accuracy", BLUE, "pass@1 of the cascade"),
        ("deferral_rate", "deferral", VERMILION, "sent to the LLM"),
    ):
        _band(figure, table, "threshold", f"{stem}_lo", f"{stem}_hi", color)
        _line(figure, table, "threshold", column, label, color, "solid", shape="vh")
    figure.add_hline(e.large["accuracy"].value, line={"color": BLACK, "dash": "dot", "width": 1.2})
    chosen = e.point(rule).choice.threshold
    if chosen is not None:
        figure.add_vline(chosen, line={"color": GREY}, annotation_text=f"{rule}: {chosen:.3g}")
    return figure


def reliability_figure(e: Evaluation) -> Figure:
    """Share of right answers in each bin of the confidence, with Wilson intervals; on the diagonal is calibrated."""
    table = plot_tables.prepare_reliability(e)
    figure = _figure(e, "stated confidence", "share right")
    ends = pd.DataFrame({"x": [0.0, 1.0], "y": [0.0, 1.0]})
    _line(figure, ends, "x", "y", "calibrated", GREY, "dash")
    for when, color in (("before", ORANGE), ("after", BLUE)):
        rows = table[table["when"] == when]
        if not len(rows):
            continue
        label = f"{when} RL" if e.before is not None else "SLM"
        up, down = rows["high"] - rows["accuracy"], rows["accuracy"] - rows["low"]
        figure.add_scatter(
            x=rows["confidence"],
            y=rows["accuracy"],
            error_y={"array": up, "arrayminus": down, "thickness": 1},
            marker={"size": 6 + 22 * (rows["n"] / rows["n"].sum()) ** 0.5, "color": color},
            line={"color": color},
            mode="lines+markers",
            name=label,
            customdata=rows["n"],
            hovertemplate="confidence %{x:.3f}<br>right %{y:.1%}<br>%{customdata:,} answers<extra></extra>",
        )
    figure.update_yaxes(range=[-0.02, 1.02], scaleanchor="x")
    figure.update_xaxes(range=[-0.02, 1.02])
    return figure


def _figure(e: Evaluation, x: str, y: str) -> Figure:
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(
        title=f"{e.name} ({e.questions:,} test questions)",
        xaxis_title=x,
        yaxis_title=y,
        template="plotly_white",
        hovermode="closest",
        margin={"l": 50, "r": 20, "t": 50, "b": 50},
    )
    return figure


def _line(figure: Figure, table: pd.DataFrame, x: str, y: str, label: str, color: str, dash: str, **line: Any) -> None:
    style = {"color": color, "dash": dash, "width": 2, **line}
    hover = {"text": _thresholds(table), "hovertemplate": "%{text}%{x:.4g}, %{y:.3f}<extra>%{fullData.name}</extra>"}
    figure.add_scatter(x=table[x], y=table[y], mode="lines", name=label, line=style, **hover)


def _thresholds(table: pd.DataFrame) -> list[str]:
    """Text of each point: its threshold, where it has one."""
    values = table.get("threshold", pd.Series(float("nan"), index=table.index))
    return [f"threshold {v:.4g}<br>" if v == v else "" for v in values]


def _point(figure: Figure, table: pd.DataFrame, label: str, color: str, symbol: str) -> None:
    marker = {"color": color, "symbol": symbol, "size": 11}
    hover = "cost %{x:.4g}, pass@1 %{y:.3f}<extra>%{fullData.name}</extra>"
    places = {"x": table["cost_percent"], "y": table["accuracy"]}
    figure.add_scatter(**places, mode="markers", name=label, marker=marker, hovertemplate=hover)


def _band(figure: Figure, table: pd.DataFrame, x: str, low: str, high: str, color: str) -> None:
    """The interval around a line, left out where there is none."""
    if table[low].isna().any():
        return
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    figure.add_scatter(
        x=[*table[x], *table[x][::-1]],
        y=[*table[high], *table[low][::-1]],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.15)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
