"""Data of the charts of report.html, in the form that its scripts read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from corea.evaluation import price_sensitivity
from corea.evaluation.dataset import Evaluation
from corea.evaluation.points import Point
from corea.evaluation.results import Results
from corea.evaluation.signal_comparison import SignalRow
from corea.report import plot_tables
from corea.report.chain_words import shown_chains, thresholds_text
from corea.report.plot_tables import cost_text, thin

QUESTIONS = 3000
"""Maximum number of questions in the slider's list; if there are more, an evenly spaced part of them."""


def page_data(results: Results) -> dict[str, Any]:
    """All data of the page: one entry per dataset, and the training curves."""
    rule = results.cfg.rule
    datasets = []
    for name, e in results.everything.items():
        parts = {
            "signals": _lines(results.signals.get(name, []), e),
            "tiers": _tiers(results, name, e),
            "audit": _audit(results, name, e),
            "prices": _price_curve(e, e.point(rule)),
        }
        datasets.append(chart_data(e, rule) | parts)
    return {"datasets": datasets, "training": _training(results)}


def chart_data(e: Evaluation, rule: str) -> dict[str, Any]:
    """Data of one dataset for report.js."""
    table = plot_tables.prepare_pareto(e)
    series = dict(tuple(table.groupby("series", sort=False)))
    pareto: dict[str, Any] = {
        name: _xy(thin(series[name]), e)
        for name in ("cascade", "before", "random", "oracle", "slm", "llm")
        if name in series
    }
    own = [p.choice.rule for p in e.points if p.figures and p.chosen_on == e.name]
    pareto["rules"] = [{"name": r, **_xy(series[r][series[r]["chosen_on"] == e.name], e)} for r in own]
    steps = _slider_steps(plot_tables.prepare_thresholds(e), e.point(rule).choice.threshold)
    return {
        "name": e.name,
        "cost_label": plot_tables.cost_label(e),
        "llm_accuracy": _rounded([e.large["accuracy"].value])[0],
        "pareto": pareto,
        "reliability": {k: _bins(t) for k, t in plot_tables.prepare_reliability(e).groupby("when")},
        "histogram": {k: _bars(t) for k, t in plot_tables.prepare_histogram(e).groupby("when")},
        "thresholds": {
            "x": _rounded(steps["threshold"]),
            "accuracy": _rounded(steps["accuracy"]),
            "deferral": _rounded(steps["deferral_rate"]),
            "text": [_hover(row, e) for row in steps.itertuples()],
            "cost_percent": _rounded(steps["cost_percent"]),
            "cost": [cost_text(c, e.unit) for c in steps["cost"]],
        },
        "chosen": e.point(rule).choice.threshold,
        "questions": _questions(e),
    }


def _slider_steps(table: pd.DataFrame, chosen: float | None) -> pd.DataFrame:
    """About 400 thresholds at most, including the one of the rule."""
    kept = thin(table)
    if chosen is None:
        return kept
    at = table.iloc[[min(int(np.searchsorted(table["threshold"], chosen)), len(table) - 1)]]
    return pd.concat([kept, at]).drop_duplicates("threshold").sort_values("threshold")


def _questions(e: Evaluation) -> dict[str, Any]:
    """Data of the slider: questions by confidence (null first), each with 2 * SLM right + LLM right."""
    if e.test is None:
        return {"id": [], "confidence": [], "outcome": []}
    t = e.test
    order = np.argsort(np.nan_to_num(t.confidence, nan=-1.0), kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, min(QUESTIONS, len(order))).astype(int))]
    return {
        "id": [str(v)[:80] for v in t.question_id[order]],
        "confidence": _rounded(t.confidence[order]),
        "outcome": (2 * t.slm_correct[order].astype(int) + t.llm_correct[order]).tolist(),
        "all": len(t),
    }


def _lines(rows: list[SignalRow], e: Evaluation) -> list[dict[str, Any]]:
    """Cost and accuracy of each signal at every threshold."""
    drawn = []
    for row in rows:
        line = thin(row.line, 200)
        points = {"x": _rounded(plot_tables.percent_of_llm(line["cost"], e)), "y": _rounded(line["accuracy"])}
        drawn.append({"name": row.name, **points})
    return drawn


def _tiers(results: Results, name: str, e: Evaluation) -> list[dict[str, Any]]:
    """Test cost and accuracy of each chain along its calibration frontier."""
    if name not in results.tiers:
        return []
    drawn = []
    shown = shown_chains(results.tiers[name])
    for chain, part in results.tiers[name].frontier.groupby("chain", sort=False):
        if chain not in shown:
            continue
        part = thin(part.sort_values("cost"), 300)
        cost, accuracy = plot_tables.percent_of_llm(part["cost"], e), part["accuracy"]
        steps = [thresholds_text(ts) for ts in part["thresholds"]]
        drawn.append({"name": str(chain), "x": _rounded(cost), "y": _rounded(accuracy), "text": steps})
    return drawn


def _audit(results: Results, name: str, e: Evaluation) -> list[dict[str, Any]]:
    """The cascade's curve with the recorded verdicts and with corea's."""
    if results.audit is None:
        return []
    both = results.audit.evaluations[name]
    lines = []
    for label, sweep in (("recorded", both.before_sweep), ("regraded", both.sweep)):
        assert sweep is not None, "an audit has both sweeps"
        line = thin(sweep)
        cost = plot_tables.percent_of_llm(line["cost"], e)
        points = {"x": _rounded(cost), "y": _rounded(line["accuracy"])}
        lines.append(
            {"name": label, **points, "low": _rounded(line["accuracy_lo"]), "high": _rounded(line["accuracy_hi"])}
        )
    return lines


def _price_curve(e: Evaluation, point: Point) -> dict[str, Any]:
    """Saving over the price ratio at the chosen threshold, with its interval."""
    if not point.figures:
        return {}
    ratio = np.geomspace(1, 200, 60)
    spend = point.figures["llm_spend"]
    here = price_sensitivity.price_ratio(e)
    parts = {
        k: _rounded(100 * (1 / ratio + s - 1))
        for k, s in (("y", spend.value), ("low", spend.low), ("high", spend.high))
    }
    even = point.figures["break_even_ratio"].value
    return {"x": _rounded(ratio), **parts, "here": _rounded([here])[0], "even": _rounded([even])[0]}


def _xy(table: pd.DataFrame, e: Evaluation) -> dict[str, Any]:
    """Points of the Pareto chart with their hover text, and a band if there is one."""
    points: dict[str, Any] = {
        "x": _rounded(table["cost_percent"]),
        "y": _rounded(table["accuracy"]),
        "text": [_hover(row, e) for row in table.itertuples()],
    }
    if table["accuracy_lo"].notna().all():
        points |= {"low": _rounded(table["accuracy_lo"]), "high": _rounded(table["accuracy_hi"])}
    return points


def _hover(row: Any, e: Evaluation) -> str:
    """Threshold, deferral, cost and accuracy of one point."""
    lines = []
    if math.isfinite(getattr(row, "threshold", math.nan)):
        lines.append("everything deferred" if row.threshold > 1 else f"threshold {row.threshold:.4g}")
    lines.append(f"sent to the LLM {100 * row.deferral_rate:.1f} %")
    relative = f" ({row.cost_percent:.1f} % of the LLM)" if math.isfinite(row.cost_percent) else ""
    lines.append(f"cost {cost_text(row.cost, e.unit)}{relative}")
    ends = ""
    if math.isfinite(getattr(row, "accuracy_lo", math.nan)):
        ends = f" ({100 * row.accuracy_lo:.1f} to {100 * row.accuracy_hi:.1f})"
    lines.append(f"pass@1 {100 * row.accuracy:.1f} %{ends}")
    return "<br>".join(lines)


def _bins(table: pd.DataFrame) -> dict[str, Any]:
    share = table["n"] / table["n"].sum()
    text = [
        f"confidence {r.confidence:.3f}<br>right {100 * r.accuracy:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f})"
        f"<br>{r.n:,} answers"
        for r in table.itertuples()
    ]
    return {
        "x": _rounded(table["confidence"]),
        "y": _rounded(table["accuracy"]),
        "up": _rounded(table["high"] - table["accuracy"]),
        "down": _rounded(table["accuracy"] - table["low"]),
        "size": _rounded(6 + 22 * np.sqrt(share)),
        "text": text,
    }


def _bars(table: pd.DataFrame) -> dict[str, Any]:
    return {
        key: _rounded(table[column])
        for key, column in (("x", "confidence"), *((c, c) for c in ("width", "right", "wrong")))
    }


def _training(results: Results) -> list[dict[str, Any]]:
    table = plot_tables.prepare_training(results.training)
    return [
        {"title": title, **{key: _rounded(thin(part, 600)[key]) for key in ("step", "value", "smooth")}}
        for title, part in table.groupby("panel", sort=False)
    ]


def _rounded(values: Any) -> list[float | None]:
    """Numbers with six significant digits; null if not finite."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in np.asarray(values, np.float64)]
