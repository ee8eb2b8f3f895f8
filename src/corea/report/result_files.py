"""The result files of an evaluation: metrics.json, frontier.csv, operating_point.json.

frontier.csv holds the columns FRONTIER for all test questions pooled; with several datasets there is also one
frontier_<dataset>.csv per dataset. Costs are means per question. Without prices (cost unit "llm_calls") the cost
columns are empty: the deferral rate is the number of LLM calls per question.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from corea.cascade.chain_results import TierResults
from corea.evaluation.dataset import Evaluation
from corea.evaluation.operation import includes, operating_point
from corea.evaluation.points import Point
from corea.evaluation.results import Results
from corea.evaluation.signal_comparison import signals_frame
from corea.evaluation.small_model import Small
from corea.metrics.figures import figures_json
from corea.prices import USD
from corea.report import sentences
from corea.report.advice import advice
from corea.runtime import atomic_write

FRONTIER = (
    "threshold",
    "deferral_rate",
    "accuracy",
    "cost_usd",
    "accuracy_lo",
    "accuracy_hi",
    "cost_lo",
    "cost_hi",
    "on_frontier",
)


def write_files(results: Results, folder: Path) -> list[Path]:
    """Write all result files; returns their paths."""
    paths = [_write_json(folder / "metrics.json", metrics_document(results))]
    paths.append(_write_csv(folder / "frontier.csv", frontier(results.pooled)))
    if len(results.datasets) > 1:
        for name, evaluation in results.datasets.items():
            safe = re.sub(r"[^\w.-]+", "_", name)
            paths.append(_write_csv(folder / f"frontier_{safe}.csv", frontier(evaluation)))
    if results.tiers:
        parts = [t.frontier.assign(dataset=name) for name, t in results.tiers.items()]
        paths.append(_write_csv(folder / "tiers.csv", pd.concat(parts, ignore_index=True)))
    if results.signals:
        paths.append(_write_csv(folder / "signals.csv", signals_frame(results.signals)))
    if results.audit is not None:
        paths.append(_write_csv(folder / "audit.csv", results.audit.findings))
        paths.append(_write_csv(folder / "audit_moves.csv", results.audit.moves))
    paths.append(_write_json(folder / "operating_point.json", operating_point(results).to_json()))
    return paths


def _write_json(path: Path, document: Any) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)
    return path


def metrics_document(results: Results) -> dict[str, Any]:
    """metrics.json: settings, then every figure per dataset and pooled."""
    cfg = results.cfg
    return {
        "answers": {
            "file": Path(results.answers.path).name,
            "sha256": results.answers.sha256,
            "rows": results.answers.rows,
            "models": {str(tier): names for tier, names in results.answers.models.items()},
        },
        "signal": cfg.signal,
        "cost_unit": results.pooled.unit,
        "bins": cfg.bins,
        "ece_edges": cfg.ece_edges,
        "level": cfg.level,
        "resamples": cfg.resamples,
        "seed": cfg.seed,
        "notes": results.notes,
        "primary": results.primary,
        "headline": sentences.headline(results),
        "advice": advice(results),
        "intervals_include": includes(cfg, results.chain(results.primary) is not None),
        "datasets": {name: _dataset(e, cfg.level) for name, e in results.datasets.items()},
        "pooled": _dataset(results.pooled, cfg.level),
        "audit": None
        if results.audit is None
        else {
            "grader": results.audit.grader,
            "graded": results.audit.graded,
            "disagreements": len(results.audit.disagreements),
            "unjudged": {str(outcome): int(number) for outcome, number in results.audit.unjudged.items()},
            "moves": json.loads(results.audit.moves.to_json(orient="records", double_precision=15)),
        },
        "tiers": {name: _tiers(t, results.everything[name].unit, cfg.level) for name, t in results.tiers.items()},
    }


def _tiers(tiers: TierResults, unit: str, level: float) -> dict[str, Any]:
    best = tiers.best
    return {
        "rule": tiers.rule,
        "reference": tiers.reference,
        "best": None
        if best is None
        else {
            "chain": best.tiers,
            "thresholds": best.thresholds,
            "answered": best.answered,
            "guarantee": best.choice.guarantee,
            **figures_json(best.figures, unit, level),
        },
        "note": tiers.note or None,
        "pays": tiers.pays or None,
        "alone": {str(t): {"accuracy": accuracy, "cost": cost} for t, (accuracy, cost) in tiers.alone.items()},
        "chosen": json.loads(tiers.chosen.to_json(orient="records", double_precision=15)),
    }


def _dataset(evaluation: Evaluation, level: float) -> dict[str, Any]:
    unit = evaluation.unit

    def small(part: Small | None) -> dict[str, Any] | None:
        return None if part is None else {**figures_json(part.figures, unit, level), "counts": part.counts}

    return {
        "questions": evaluation.questions,
        "calibration_questions": evaluation.calibration_questions,
        "slm": small(evaluation.small),
        "slm_before": small(evaluation.before),
        "change": figures_json(evaluation.change, unit, level) or None,
        "llm": figures_json(evaluation.large, unit, level),
        "areas": figures_json(evaluation.areas, unit, level),
        "cascade": [_point(point, unit, level) for point in evaluation.points],
    }


def _point(point: Point, unit: str, level: float) -> dict[str, Any]:
    return {
        "rule": point.choice.rule,
        "chosen_on": point.chosen_on,
        "threshold": point.choice.threshold,
        "note": point.choice.note or None,
        "costs_more_than_llm": point.costs_more if point.figures else None,
        "resamples_without_threshold": point.not_found,
        **figures_json(point.figures, unit, level),
    }


def frontier(evaluation: Evaluation) -> pd.DataFrame:
    """The sweep in the columns of frontier.csv."""
    table = evaluation.sweep.rename(columns={"cost": "cost_usd"})[list(FRONTIER)]
    if evaluation.unit != USD:
        table = table.assign(cost_usd=None, cost_lo=None, cost_hi=None)
    return table
