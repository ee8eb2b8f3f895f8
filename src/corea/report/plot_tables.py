"""Tables behind every plot; plots.py, comparison_plots.py and chart_data.py only draw them.

Costs are relative to the LLM alone (100 %), so that datasets and price levels are comparable; without prices they are
LLM calls per 100 questions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from corea.evaluation.dataset import Evaluation
from corea.evaluation.points import Point
from corea.evaluation.results import Results
from corea.prices import USD
from corea.report.chain_words import shown_chains

TRAINING = {
    "reward": "Reward",
    "pass@1": "Pass@1",
    "ece": "ECE",
    "auroc": "AUROC",
    "confidence/mean": "Mean confidence",
    "confidence/std": "Spread of confidence (std)",
    "reward/calib": "Calibration reward",
    "format_share": "Well-formed answers",
    "entropy": "Entropy",
    "grad_norm": "Gradient norm",
    "degenerate_share": "Groups without advantage",
    "completion_tokens": "Tokens per completion",
}
"""Panels of the training curves: column of metrics.jsonl -> title."""


def percent_of_llm(cost: np.ndarray | float, evaluation: Evaluation) -> np.ndarray:
    """Cost in per cent of the LLM alone; NaN if the LLM costs nothing."""
    base = evaluation.large["cost"].value
    return np.asarray(cost, np.float64) * 100 / (base if base > 0 else np.nan)


def cost_label(evaluation: Evaluation) -> str:
    """Axis label of relative cost."""
    return "cost, % of the LLM alone" if evaluation.unit == USD else "LLM calls per 100 questions"


def money(value: float) -> str:
    """Dollars with three significant digits, e.g. $0.0123 or $1,230."""
    if value == 0 or not np.isfinite(value):
        return "$0" if value == 0 else "–"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"${value:,.{min(digits, 12)}f}"


def cost_text(value: float, unit: str) -> str:
    """Mean cost of a question as text, per 1,000 questions."""
    return f"{money(1000 * value)} per 1,000" if unit == USD else f"{value:.3f} LLM calls"


def prepare_pareto(evaluation: Evaluation) -> pd.DataFrame:
    """Rows: series (cascade, before, random, oracle, slm, llm, rule names), cost in %, accuracy, its interval,
    threshold, deferral_rate, cost (absolute). Rows of a line are in plotting order."""
    small, large = evaluation.small.figures, evaluation.large
    parts = [_line("cascade", evaluation.sweep)]
    if evaluation.before_sweep is not None:
        parts.append(_line("before", evaluation.before_sweep))
    parts.append(evaluation.oracle.assign(series="oracle"))
    both = small["cost"].value + large["cost"].value
    ends = {
        "series": "random",
        "deferral_rate": [0.0, 1.0],
        "cost": [small["cost"].value, both],
        "accuracy": [small["accuracy"].value, large["accuracy"].value],
    }
    parts.append(pd.DataFrame(ends))
    for name, figures, rate in (("slm", small, 0.0), ("llm", large, 1.0)):
        accuracy = figures["accuracy"]
        parts.append(
            pd.DataFrame(
                {
                    "series": [name],
                    "deferral_rate": [rate],
                    "cost": [figures["cost"].value],
                    "accuracy": [accuracy.value],
                    "accuracy_lo": [accuracy.low],
                    "accuracy_hi": [accuracy.high],
                }
            )
        )
    parts += [_rule_row(point) for point in evaluation.points if point.figures]
    table = pd.concat(parts, ignore_index=True)
    table.insert(1, "cost_percent", percent_of_llm(table["cost"], evaluation))
    return table


def _line(series: str, sweep: pd.DataFrame) -> pd.DataFrame:
    columns = ["threshold", "deferral_rate", "cost", "accuracy", "accuracy_lo", "accuracy_hi", "on_frontier"]
    return sweep[columns].assign(series=series)


def _rule_row(point: Point) -> pd.DataFrame:
    figures = point.figures
    return pd.DataFrame(
        {
            "series": [point.choice.rule],
            "chosen_on": [point.chosen_on],
            "threshold": [point.choice.threshold],
            "deferral_rate": [figures["deferral_rate"].value],
            "cost": [figures["cost"].value],
            "accuracy": [figures["accuracy"].value],
            "accuracy_lo": [figures["accuracy"].low],
            "accuracy_hi": [figures["accuracy"].high],
        }
    )


def thin(table: pd.DataFrame, most: int = 400) -> pd.DataFrame:
    """At most `most` evenly spaced rows, including both ends; a plot cannot resolve more."""
    if len(table) <= most:
        return table
    return table.iloc[np.unique(np.linspace(0, len(table) - 1, most).astype(int))]


def prepare_reliability(evaluation: Evaluation) -> pd.DataFrame:
    """The bins of the reliability diagram, column `when`: before or after RL."""
    parts = [evaluation.small.reliability.assign(when="after")]
    if evaluation.before is not None:
        parts.append(evaluation.before.reliability.assign(when="before"))
    return pd.concat(parts, ignore_index=True)


def prepare_histogram(evaluation: Evaluation) -> pd.DataFrame:
    """Right and wrong answers by confidence, column `when`: before or after RL."""
    parts = [evaluation.small.histogram.assign(when="after")]
    if evaluation.before is not None:
        parts.append(evaluation.before.histogram.assign(when="before"))
    return pd.concat(parts, ignore_index=True)


def prepare_thresholds(evaluation: Evaluation) -> pd.DataFrame:
    """Accuracy, deferral and relative cost over the threshold, one row per threshold up to 1."""
    table = evaluation.sweep.copy()
    table["threshold"] = table["threshold"].clip(upper=1.01)
    table["cost_percent"] = percent_of_llm(table["cost"], evaluation)
    return table


def prepare_training(metrics: pd.DataFrame | None) -> pd.DataFrame:
    """Long table: panel, step, value, smooth (running mean of a twentieth of the run). Empty without training."""
    parts = []
    for column, title in TRAINING.items():
        if metrics is None or column not in metrics:
            continue
        values = pd.to_numeric(metrics[column], errors="coerce")
        part = pd.DataFrame({"panel": title, "step": metrics["step"], "value": values}).dropna()
        window = max(1, len(part) // 20)
        part["smooth"] = part["value"].rolling(window, min_periods=1, center=True).mean()
        parts.append(part)
    columns = ["panel", "step", "value", "smooth"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def prepare_signals(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: signal, cost_percent, accuracy, deferral_rate at every threshold of every signal."""
    parts = []
    for row in results.signals.get(name, []):
        line = thin(row.line)
        parts.append(line.assign(signal=row.name, cost_percent=percent_of_llm(line["cost"], e)))
    return pd.concat(parts, ignore_index=True)


def prepare_tiers(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: chain, cost_percent, accuracy of the test questions along each chain's calibration frontier."""
    table = results.tiers[name].frontier
    table = table[table["chain"].isin(shown_chains(results.tiers[name]))].sort_values("cost")
    return table.assign(cost_percent=percent_of_llm(table["cost"], e))


def prepare_audit(results: Results, e: Evaluation, name: str) -> pd.DataFrame:
    """Rows: verdicts (recorded, regraded), cost_percent, accuracy with its band."""
    assert results.audit is not None, "requires an audit"
    both = results.audit.evaluations[name]
    parts = []
    for label, sweep in (("recorded", both.before_sweep), ("regraded", both.sweep)):
        assert sweep is not None, "evaluated with both verdicts"
        parts.append(sweep.assign(verdicts=label, cost_percent=percent_of_llm(sweep["cost"], e)))
    return pd.concat(parts, ignore_index=True)


def comparisons(results: Results, shown: Sequence[Evaluation]) -> dict[str, list[tuple[Evaluation, pd.DataFrame]]]:
    """Tables of the comparison figures, one panel per dataset; figures without a panel are left out."""
    figures = {
        "signals": [(e, prepare_signals(results, e, e.name)) for e in shown if results.signals.get(e.name)],
        "tiers": [(e, prepare_tiers(results, e, e.name)) for e in shown if e.name in results.tiers],
        "audit": [(e, prepare_audit(results, e, e.name)) for e in shown if results.audit is not None],
    }
    return {name: panels for name, panels in figures.items() if panels}
