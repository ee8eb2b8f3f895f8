"""The result files of an evaluation: metrics.json, frontier.csv, operating_point.json (DESIGN section 4).

frontier.csv holds exactly the columns of DESIGN, for all test questions pooled; with several datasets there is also one
frontier_<dataset>.csv each, with the same columns. Costs are means per question. Without prices (cost unit
"llm_calls") the cost columns stay empty: the deferral rate is the number of LLM calls per question.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd

from corea.cascade.chains import TierResults
from corea.evaluation.dataset import Evaluation, Point
from corea.evaluation.results import Results, models_of
from corea.evaluation.signal_comparison import signals_frame
from corea.evaluation.slm import Small
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.runtime import atomic_write
from corea.tabular import file_hash

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
    """Write all of them; returns their paths."""
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
        paths.append(_write_csv(folder / "audit.csv", results.audit.disagreements))
        paths.append(_write_csv(folder / "audit_moves.csv", results.audit.moves))
    paths.append(_write_json(folder / "operating_point.json", operating_point(results)))
    return paths


def _write_json(path: Path, document: Any) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)
    return path


def number(value: float) -> float | None:
    """JSON has no NaN: what is not defined is null."""
    return float(value) if math.isfinite(value) else None


def figure(value: Figure, level: float) -> dict[str, Any]:
    """{"value", "ci95", "n"}; the middle key names the level."""
    return {
        "value": number(value.value),
        f"ci{100 * level:g}": [number(value.low), number(value.high)],
        "n": value.n,
    }


def figures(values: dict[str, Figure], unit: str, level: float) -> dict[str, Any]:
    """Each figure; the name of the cost says its unit."""
    return {(f"cost_{unit}" if name == "cost" else name): figure(v, level) for name, v in values.items()}


def metrics_document(results: Results) -> dict[str, Any]:
    """metrics.json: settings, then every figure per dataset and pooled."""
    cfg = results.cfg
    return {
        "answers": {
            "file": Path(results.answers.path).name,
            "sha256": file_hash(results.answers.path),
            "rows": len(results.answers.frame),
            "models": {str(tier): names for tier, names in models_of(results.answers).items()},
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
        "datasets": {name: _dataset(e, cfg.level) for name, e in results.datasets.items()},
        "pooled": _dataset(results.pooled, cfg.level),
        "audit": None
        if results.audit is None
        else {
            "grader": results.audit.grader,
            "graded": results.audit.graded,
            "disagreements": len(results.audit.disagreements),
            "moves": json.loads(results.audit.moves.to_json(orient="records", double_precision=15)),
        },
        "tiers": {
            name: {"pays": t.pays, "chosen": json.loads(t.chosen.to_json(orient="records", double_precision=15))}
            for name, t in results.tiers.items()
        },
    }


def _dataset(evaluation: Evaluation, level: float) -> dict[str, Any]:
    unit = evaluation.unit

    def small(part: Small | None) -> dict[str, Any] | None:
        return None if part is None else {**figures(part.figures, unit, level), "counts": part.counts}

    return {
        "questions": evaluation.questions,
        "calibration_questions": evaluation.calibration_questions,
        "slm": small(evaluation.small),
        "slm_before": small(evaluation.before),
        "change": figures(evaluation.change, unit, level) or None,
        "llm": figures(evaluation.large, unit, level),
        "areas": figures(evaluation.areas, unit, level),
        "cascade": [_point(point, unit, level) for point in evaluation.points],
    }


def _point(point: Point, unit: str, level: float) -> dict[str, Any]:
    return {
        "rule": point.choice.rule,
        "chosen_on": point.chosen_on,
        "threshold": point.choice.threshold,
        "note": point.choice.note or None,
        "costs_more_than_llm": point.costs_more if point.figures else None,
        **figures(point.figures, unit, level),
    }


def frontier(evaluation: Evaluation) -> pd.DataFrame:
    """The sweep in the columns of frontier.csv."""
    table = evaluation.sweep.rename(columns={"cost": "cost_usd"})[list(FRONTIER)]
    if evaluation.unit != USD:
        table = table.assign(cost_usd=None, cost_lo=None, cost_hi=None)
    return table


def operating_point(results: Results) -> dict[str, Any]:
    """operating_point.json: what is needed to operate the cascade, or the reason why no threshold was found.

    A threshold holds for the models, prompts, prices and questions that it was chosen with; they are named here.
    """
    evaluation, level = results.first, results.cfg.level
    meta = results.answers.meta
    return {
        **_operating(results, evaluation, level),
        "models": meta.get("models") or {str(t): {"model": m} for t, m in models_of(results.answers).items()},
        "prompts": meta.get("prompts"),
        "prices": meta.get("prices"),
        "answers_sha256": file_hash(results.answers.path),
        "datasets": {name: _operating(results, e, level) for name, e in results.datasets.items()},
        "tiers": {name: _chain(t) for name, t in results.tiers.items()},
    }


def _chain(tiers: TierResults) -> dict[str, Any] | None:
    """The chain that was cheapest on the calibration questions, with a threshold for each of its tiers but the last."""
    if not len(tiers.chosen):
        return None
    best = tiers.chosen.loc[tiers.chosen["calibration_cost"].idxmin()]
    return {
        "chain": [int(tier) for tier in best["chain"].split("-")],
        "thresholds": list(best["thresholds"]),
        "expected": {"accuracy": float(best["accuracy"]), "cost": float(best["cost"])},
        "pays": tiers.pays,
    }


def _operating(results: Results, evaluation: Evaluation, level: float) -> dict[str, Any]:
    point = evaluation.point(results.cfg.rule)
    choice = point.choice
    return {
        "dataset": evaluation.name,
        "signal": results.cfg.signal,
        "recalibrate": results.cfg.recalibrate,
        "thresholds": None if choice.threshold is None else [choice.threshold],
        "rule": {"name": choice.rule, **choice.parameters, "guarantee": choice.guarantee, "note": choice.note or None},
        "calibration": {
            "split": results.cfg.calibration_split,
            "questions": point.calibration_questions,
            "sha256": results.calibration_hash.get(evaluation.name) or None,
        },
        "expected": {
            **figures(point.figures, evaluation.unit, level),
            "costs_more_than_llm": point.costs_more if point.figures else None,
        },
    }
