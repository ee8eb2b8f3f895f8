"""Rules that choose a threshold. Each is a pure function of the calibration questions and the configuration.

fixed         the threshold of the configuration; needs no calibration split
llm_accuracy  the LLM's pass@1 on the calibration split: keep an answer whose confidence is at least the
              LLM's accuracy (arXiv 2603.03752)
max_drop      the cheapest threshold whose accuracy on the calibration split is at least the LLM's minus delta
budget        the most accurate threshold whose cost on the calibration split is at most the budget
guarantee     the cheapest threshold that keeps its promise on new questions with probability 1 - alpha
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from corea.cascade.guarantee import guaranteed
from corea.cascade.sweep import depth_of, thresholds_of
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.cascade_curve import Curve, curve
from corea.metrics.levels import Levels


@dataclass(slots=True, kw_only=True)
class Choice:
    """A threshold and its origin."""

    rule: str
    threshold: float | None
    """None: the rule found none; `note` says why."""
    guarantee: str
    """What the rule promises on new questions."""
    parameters: dict[str, float] = field(default_factory=dict)
    note: str = ""


def choose(rule: str, calibration: Levels | None, cfg: CascadeConfig) -> Choice:
    """Apply `rule` to the calibration questions; None if the table has no calibration split."""
    if rule == "fixed":
        return Choice(
            rule=rule,
            threshold=cfg.threshold,
            guarantee="none: the threshold was given",
            parameters={"threshold": cfg.threshold},
        )
    if calibration is None or not len(calibration):
        return Choice(
            rule=rule,
            threshold=None,
            guarantee="none",
            note="no calibration questions; set cascade.split_fraction, e.g. 0.3, to set some aside",
        )
    rules = {"llm_accuracy": _llm_accuracy, "max_drop": _max_drop, "budget": _budget, "guarantee": _guarantee}
    return rules[rule](calibration, cfg)


def _llm_accuracy(calibration: Levels, cfg: CascadeConfig) -> Choice:
    return Choice(
        rule="llm_accuracy",
        threshold=float(curve(calibration.observed).llm_accuracy),
        guarantee="none; if confidences are calibrated, kept answers are right at least as often as the LLM's",
    )


def _max_drop(calibration: Levels, cfg: CascadeConfig) -> Choice:
    thresholds, here = _at_every_threshold(calibration, cfg)
    floor = here.llm_accuracy - cfg.delta
    best = f"the best threshold of the grid reaches {here.accuracy.max():.4f} of the {floor:.4f} that are needed"
    return _first(
        thresholds,
        here.accuracy >= floor - 1e-12,  # a share that equals the floor on paper must not fail by rounding
        (-here.accuracy, here.cost),
        rule="max_drop",
        guarantee=f"on the calibration split accuracy is at least the LLM's less {cfg.delta:g}; none on new questions",
        parameters={"delta": cfg.delta},
        note=best,  # possible with a grid that does not reach up to deferring everything
    )


def _budget(calibration: Levels, cfg: CascadeConfig) -> Choice:
    thresholds, here = _at_every_threshold(calibration, cfg)
    llm_cost = float(here.llm_cost)
    if cfg.budget_usd is not None:
        limit, parameters = cfg.budget_usd / 1000, {"budget_usd": cfg.budget_usd}
        words = f"${cfg.budget_usd:g} per 1,000 questions"
        least = f"the cheapest threshold costs ${1000 * here.cost.min():.4g} per 1,000 questions"
    else:
        limit, parameters = cfg.budget * llm_cost, {"budget": cfg.budget}
        words = f"{cfg.budget:g} of the LLM's cost"
        least = f"the cheapest threshold costs {here.cost.min() / llm_cost:.3f} of the LLM alone"
    return _first(
        thresholds,
        here.cost <= limit * (1 + 1e-12),
        (here.cost, -here.accuracy),
        rule="budget",
        guarantee=f"on the calibration split it costs at most {words}; none on new questions",
        parameters=parameters,
        note=least,
    )


def _at_every_threshold(calibration: Levels, cfg: CascadeConfig) -> tuple[np.ndarray, Curve]:
    """Candidate thresholds [M], and the cascade at each of them."""
    thresholds = thresholds_of(calibration, cfg.thresholds)
    return thresholds, curve(calibration.observed).at(depth_of(calibration, thresholds))


def _first(
    thresholds: np.ndarray, allowed: np.ndarray, order: tuple[np.ndarray, np.ndarray], note: str, **choice: Any
) -> Choice:
    """The threshold that is allowed [M] and first in `order` (the last key counts most); `note` where none is."""
    candidates = np.flatnonzero(allowed)
    if not len(candidates):
        return Choice(**{**choice, "guarantee": "none"}, threshold=None, note=note)
    first = np.lexsort(tuple(key[candidates] for key in order))[0]
    return Choice(**choice, threshold=float(thresholds[candidates[first]]))


def _guarantee(calibration: Levels, cfg: CascadeConfig) -> Choice:
    loss = cfg.guarantee == "loss"
    target = cfg.delta if loss else cfg.kept_accuracy
    promise = guaranteed(calibration, cfg.guarantee, target, cfg.alpha, np.asarray(cfg.thresholds))
    words = f"pass@1 is at least the LLM's less {target:g}" if loss else f"kept answers are right at least {target:g}"
    return Choice(
        rule="guarantee",
        threshold=promise.threshold,
        guarantee=(
            f"with probability {1 - cfg.alpha:g} over the draw of the calibration questions, on new questions like "
            f"them {words}{'' if loss else ' of the time'} (Learn-then-Test)"
        )
        if promise.threshold is not None
        else "none",
        parameters={"delta" if loss else "kept_accuracy": target, "alpha": cfg.alpha},
        note=promise.note,
    )
