"""Rules that choose a threshold on the calibration split (DESIGN section 6). A rule is a pure function of it.

fixed         the threshold of the configuration; needs no calibration split
llm_accuracy  the LLM's pass@1 on the calibration split: keep an answer whose confidence is at least what the LLM would
              reach (arXiv 2603.03752)
max_drop      the cheapest threshold whose accuracy on the calibration split is at least the LLM's less delta
budget        the most accurate threshold whose cost on the calibration split is at most the budget
guarantee     the cheapest threshold that keeps its promise on new questions with probability 1 - alpha
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corea.cascade.guarantee import guaranteed
from corea.cascade.sweep import depth_of, thresholds_of
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.cascade_curve import curve
from corea.metrics.levels import Levels


@dataclass(slots=True, kw_only=True)
class Choice:
    """A threshold and where it comes from."""

    rule: str
    threshold: float | None
    """None: the rule found none; `note` says why."""
    guarantee: str
    """What the rule promises on new questions."""
    parameters: dict[str, float] = field(default_factory=dict)
    note: str = ""


def choose(rule: str, calibration: Levels | None, cfg: CascadeConfig) -> Choice:
    """Apply `rule` to the calibration questions; None where the table has no calibration split."""
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
    thresholds = thresholds_of(calibration, cfg.thresholds)
    here = curve(calibration.observed).at(depth_of(calibration, thresholds))
    floor = here.llm_accuracy - cfg.delta
    enough = here.accuracy >= floor - 1e-12  # a share that equals the floor on paper must not fail by rounding
    parameters = {"delta": cfg.delta}
    if not enough.any():  # possible with a grid that does not reach up to deferring everything
        best = f"the best threshold of the grid reaches {here.accuracy.max():.4f} of the {floor:.4f} that are needed"
        return Choice(rule="max_drop", threshold=None, guarantee="none", parameters=parameters, note=best)
    candidates = np.flatnonzero(enough)
    first = np.lexsort((-here.accuracy[candidates], here.cost[candidates]))[0]
    return Choice(
        rule="max_drop",
        threshold=float(thresholds[candidates[first]]),
        guarantee=f"on the calibration split accuracy is at least the LLM's less {cfg.delta:g}; none on new questions",
        parameters=parameters,
    )


def _budget(calibration: Levels, cfg: CascadeConfig) -> Choice:
    thresholds = thresholds_of(calibration, cfg.thresholds)
    here = curve(calibration.observed).at(depth_of(calibration, thresholds))
    absolute = cfg.budget_usd is not None
    limit = cfg.budget_usd / 1000 if cfg.budget_usd is not None else cfg.budget * float(here.llm_cost)
    parameters = {"budget_usd": cfg.budget_usd} if cfg.budget_usd is not None else {"budget": cfg.budget}
    within = here.cost <= limit * (1 + 1e-12)
    if not within.any():
        least = f"the cheapest threshold costs {here.cost.min() / float(here.llm_cost):.3f} of the LLM alone"
        if absolute:
            least = f"the cheapest threshold costs ${1000 * here.cost.min():.4g} per 1,000 questions"
        return Choice(rule="budget", threshold=None, guarantee="none", parameters=parameters, note=least)
    candidates = np.flatnonzero(within)
    first = np.lexsort((here.cost[candidates], -here.accuracy[candidates]))[0]
    words = f"${cfg.budget_usd:g} per 1,000 questions" if absolute else f"{cfg.budget:g} of the LLM's cost"
    return Choice(
        rule="budget",
        threshold=float(thresholds[candidates[first]]),
        guarantee=f"on the calibration split it costs at most {words}; none on new questions",
        parameters=parameters,
    )


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
