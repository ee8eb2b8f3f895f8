"""Curves of several groups of runs in one chart: accuracy over cost (one chart a dataset), and training curves.

The curve of a group is the mean over its runs at the same deferral rate. Its band is the Student t interval over the
seeds; of a single run it is the bootstrap interval over questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corea.comparing.run_groups import RunGroup
from corea.comparing.run_sources import ComparedRun
from corea.comparing.seed_figures import mean_span
from corea.prices import LLM_CALLS, USD
from corea.report.plot_tables import TRAINING

RATES = np.arange(101) / 100
"""Deferral rates at which curves are averaged."""
VALIDATION = {
    "validation/pass@1": "Validation: pass@1",
    "validation/ece": "Validation: ECE",
    "validation/auroc": "Validation: AUROC",
    "validation/cascade_area": "Validation: cascade area",
}
PARETO = ("dataset", "group", "kind", "deferral_rate", "cost_percent", "accuracy", "low", "high")
CURVES = ("panel", "group", "run", "step", "value")
MEAN = ""
"""Run of the rows of training curves that hold the mean over the runs of a group."""


def prepare_overlay(groups: Sequence[RunGroup], datasets: Sequence[str], level: float) -> pd.DataFrame:
    """Columns PARETO. Kinds: curve (101 rows a group), llm (the large model alone), point (the configured rule).

    Costs are in per cent of the LLM alone, or LLM calls per 100 questions where the runs have no prices.
    """
    rows: list[pd.DataFrame] = []
    priced = overlay_unit(groups) == USD
    for dataset in datasets:
        for group in groups:
            runs = [run for run in group.runs if dataset in run.frontiers]
            if runs:
                rows.append(_group_curve(runs, dataset, level, priced).assign(group=group.label, dataset=dataset))
    return pd.concat(rows, ignore_index=True)[list(PARETO)] if rows else pd.DataFrame(columns=list(PARETO))


def overlay_unit(groups: Sequence[RunGroup]) -> str:
    """Unit of the costs of an overlay: dollars if every run has prices."""
    documents = [run.document for group in groups for run in group.runs if run.document is not None]
    return USD if all(document.get("cost_unit") == USD for document in documents) else LLM_CALLS


def _group_curve(runs: Sequence[ComparedRun], dataset: str, level: float, priced: bool) -> pd.DataFrame:
    lines = [_run_curve(run, dataset, priced) for run in runs]
    accuracy = np.array([line["accuracy"] for line in lines])  # [runs, 101]
    if len(lines) > 1:
        spans = [mean_span(column, level) for column in accuracy.T]
        low, high = np.array([s.low for s in spans]), np.array([s.high for s in spans])
    else:
        low, high = lines[0]["low"], lines[0]["high"]
    curve = pd.DataFrame(
        {
            "kind": "curve",
            "deferral_rate": RATES,
            "cost_percent": np.mean([line["cost_percent"] for line in lines], axis=0),
            "accuracy": accuracy.mean(0),
            "low": np.clip(low, 0, 1),
            "high": np.clip(high, 0, 1),
        }
    )
    marks = ([_llm(run, dataset) for run in runs], _points(runs, dataset, priced))
    return pd.concat([curve, *(pd.DataFrame([_mean_of(part)]) for part in marks if part)], ignore_index=True)


def _run_curve(run: ComparedRun, dataset: str, priced: bool) -> dict[str, np.ndarray]:
    """cost_percent, accuracy, low, high [101] of one run, linear between its thresholds."""
    table = run.frontiers[dataset].sort_values("deferral_rate", kind="stable")
    rate = table["deferral_rate"].to_numpy()
    columns = {"accuracy": "accuracy", "low": "accuracy_lo", "high": "accuracy_hi"}
    found = {ours: np.interp(RATES, rate, table[theirs].to_numpy(np.float64)) for ours, theirs in columns.items()}
    if not priced:
        return {**found, "cost_percent": 100 * RATES}
    cost, llm = table["cost_usd"].to_numpy(np.float64), _llm_cost(run, dataset)
    return {**found, "cost_percent": np.interp(RATES, rate, 100 * cost / (llm if llm > 0 else math.nan))}


def _part(run: ComparedRun, dataset: str) -> dict[str, Any]:
    assert run.document is not None, "a run with a frontier has metrics.json"
    return run.document["pooled"] if dataset == "pooled" else run.document["datasets"][dataset]


def _llm_cost(run: ComparedRun, dataset: str) -> float:
    entry = _part(run, dataset)["llm"].get("cost_usd")
    return float(entry["value"]) if entry and entry["value"] is not None else math.nan


def _llm(run: ComparedRun, dataset: str) -> dict[str, Any]:
    accuracy = _part(run, dataset)["llm"]["accuracy"]["value"]
    return {"kind": "llm", "deferral_rate": 1.0, "cost_percent": 100.0, "accuracy": accuracy}


def _points(runs: Sequence[ComparedRun], dataset: str, priced: bool) -> list[dict[str, Any]]:
    """Cost and accuracy of the configured rule; empty where a run found no threshold."""
    found = []
    for run in runs:
        point = (_part(run, dataset).get("cascade") or [{}])[0]
        cost = (point.get("cost_change") or {}).get("value")
        rate, accuracy = ((point.get(key) or {}).get("value") for key in ("deferral_rate", "accuracy"))
        if rate is None or accuracy is None:
            return []
        percent = 100 * (1 + (math.nan if cost is None else cost)) if priced else 100 * rate
        found.append({"kind": "point", "deferral_rate": rate, "cost_percent": percent, "accuracy": accuracy})
    return found


def _mean_of(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "kind"}
    return {"kind": rows[0]["kind"], **means}


def prepare_curves(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Training curves, columns CURVES: a running mean over a twentieth of each run, and the mean over the runs of a
    group (run MEAN) at the steps that all of them have."""
    parts = []
    for column, title in {**TRAINING, **VALIDATION}.items():
        for group in groups:
            lines = [
                line.assign(run=run.name)
                for run in group.runs
                if run.training is not None and len(line := _smooth(run.training, column))
            ]
            if not lines:
                continue
            wide = pd.concat([line.set_index("step")["value"] for line in lines], axis=1, join="inner")
            mean = wide.mean(axis=1).rename("value").reset_index().assign(run=MEAN)
            parts.append(pd.concat([mean, *lines]).assign(panel=title, group=group.label))
    return pd.concat(parts, ignore_index=True)[list(CURVES)] if parts else pd.DataFrame(columns=list(CURVES))


def _smooth(training: pd.DataFrame, column: str) -> pd.DataFrame:
    """step, value: running mean of a column; validations as they are."""
    if column not in training:
        return pd.DataFrame(columns=["step", "value"])
    values = pd.to_numeric(training[column], errors="coerce")
    table = pd.DataFrame({"step": training["step"], "value": values}).dropna()
    if column not in VALIDATION:
        table["value"] = table["value"].rolling(max(1, len(table) // 20), min_periods=1, center=True).mean()
    return table.reset_index(drop=True)
