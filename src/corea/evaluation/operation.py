"""From results to the operating point: what is needed to run the cascade, or the reason why there is no threshold.

A threshold holds for the models, prompts, prices and questions that it was chosen with; the operating point names them.
"""

from __future__ import annotations

from typing import Any

from corea.cascade.chains import TierResults
from corea.cascade.operating_point import DatasetPoint, OperatingPoint
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.dataset import Evaluation
from corea.evaluation.results import Results
from corea.metrics.figures import figures_json


def operating_point(results: Results) -> OperatingPoint:
    """The point of the configured rule for every dataset."""
    answers = results.answers
    return OperatingPoint(
        primary=results.primary,
        datasets={name: _dataset_point(e, results.cfg) for name, e in results.datasets.items()},
        models=answers.meta.get("models") or {str(tier): {"model": names} for tier, names in answers.models.items()},
        prompts=answers.meta.get("prompts"),
        prices=answers.meta.get("prices"),
        answers_sha256=answers.sha256,
        tiers={name: _chain(tiers) for name, tiers in results.tiers.items()},
    )


def _dataset_point(evaluation: Evaluation, cfg: CascadeConfig) -> DatasetPoint:
    point = evaluation.point(cfg.rule)
    choice = point.choice
    return DatasetPoint(
        dataset=evaluation.name,
        signal=cfg.signal,
        recalibrate=cfg.recalibrate,
        thresholds=None if choice.threshold is None else [choice.threshold],
        rule={"name": choice.rule, **choice.parameters, "guarantee": choice.guarantee, "note": choice.note or None},
        calibration={
            "split": cfg.calibration_split,
            "questions": point.calibration_questions,
            "sha256": evaluation.calibration_sha256 or None,
        },
        expected={
            **figures_json(point.figures, evaluation.unit, cfg.level),
            "costs_more_than_llm": point.costs_more if point.figures else None,
        },
    )


def _chain(tiers: TierResults) -> dict[str, Any] | None:
    """The chain that is cheapest on the calibration questions, with a threshold for each of its tiers but the last."""
    if not len(tiers.chosen):
        return None
    best = tiers.chosen.loc[tiers.chosen["calibration_cost"].idxmin()]
    return {
        "chain": [int(tier) for tier in best["chain"].split("-")],
        "thresholds": list(best["thresholds"]),
        "expected": {"accuracy": float(best["accuracy"]), "cost": float(best["cost"])},
        "pays": tiers.pays,
    }
