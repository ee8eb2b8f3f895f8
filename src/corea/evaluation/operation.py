"""From results to the operating point: what is needed to run the cascade, or the reason why there is no threshold.

A threshold holds for the models, prompts, prices and questions that it was chosen with; the operating point names them.
"""

from __future__ import annotations

from typing import Any

from corea.cascade.chain_results import BestChain, TierResults
from corea.cascade.fitted_maps import to_json
from corea.cascade.operating_point import DatasetPoint, OperatingPoint, distribution
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.dataset import Evaluation
from corea.evaluation.results import Results
from corea.metrics.figures import figures_json


def operating_point(results: Results) -> OperatingPoint:
    """The point of the configured rule for every dataset."""
    answers = results.answers
    return OperatingPoint(
        primary=results.primary,
        datasets={name: _dataset_point(e, results) for name, e in results.datasets.items()},
        models=answers.meta.get("models") or {str(tier): {"model": names} for tier, names in answers.models.items()},
        prompts=answers.meta.get("prompts"),
        prices=answers.meta.get("prices"),
        answers_sha256=answers.sha256,
        tiers={name: _chains(tiers) for name, tiers in results.tiers.items() if name in results.datasets},
    )


def _dataset_point(evaluation: Evaluation, results: Results) -> DatasetPoint:
    """The point of the best chain where there are more than two tiers, else that of tier 0 and the largest."""
    cfg, chain = results.cfg, results.chain(evaluation.name)
    point = evaluation.point(cfg.rule)
    choice = point.choice if chain is None else chain.choice
    thresholds: list[float] | None
    if chain is None:
        thresholds = None if point.choice.threshold is None else [point.choice.threshold]
        figures, more, known = (
            point.figures,
            point.costs_more if point.figures else None,
            point.pick.calibration_questions,
        )
    else:
        thresholds, figures, more, known = (
            chain.thresholds,
            chain.figures,
            chain.costs_more,
            chain.calibration_questions,
        )
    return DatasetPoint(
        dataset=evaluation.name,
        signal=cfg.signal,
        recalibrate=cfg.recalibrate if chain is None else "none",
        thresholds=thresholds,
        rule={"name": choice.rule, **choice.parameters, "guarantee": choice.guarantee, "note": choice.note or None},
        calibration={
            "split": cfg.calibration_split,
            "questions": known,
            "sha256": evaluation.calibration_sha256 or None,
        },
        expected={
            **figures_json(figures, evaluation.unit, cfg.level),
            "costs_more_than_llm": more,
            "intervals": includes(cfg, chain is not None),
        },
        chain=None if chain is None else chain.tiers,
        maps={str(tier): to_json(fitted) for tier, fitted in results.maps.get(evaluation.name, {}).items()},
        distribution=_distributions(evaluation, results.chain(evaluation.name)),
    )


def includes(cfg: CascadeConfig, chain: bool) -> str:
    """What the intervals of the cascade include, in words."""
    if cfg.intervals == "test" or chain:
        return "other test questions at the chosen thresholds; not other calibration questions, not training noise"
    return "other calibration questions, on which the rule chooses anew, and other test questions; not training noise"


def _distributions(evaluation: Evaluation, chain: BestChain | None) -> dict[str, dict[str, Any]]:
    """Tier -> distribution of its confidence on the calibration questions."""
    if chain is not None:
        return {str(tier): distribution(values) for tier, values in chain.confidences.items()}
    known = evaluation.calibration
    return {} if known is None else {"0": distribution(known.value[known.level])}


def _chains(tiers: TierResults) -> dict[str, Any]:
    """The best chain, who answers how much, and each tier alone on the test questions."""
    best = tiers.best
    return {
        "chain": None if best is None else best.tiers,
        "thresholds": None if best is None else best.thresholds,
        "answered": None if best is None else best.answered,
        "reference": tiers.reference,
        "alone": {str(t): {"accuracy": accuracy, "cost": cost} for t, (accuracy, cost) in tiers.alone.items()},
        "note": tiers.note or None,
        "pays": tiers.pays or None,
    }
