"""Rules that choose a threshold. Each is a pure function of the calibration questions and the configuration.

fixed         the threshold of the configuration; needs no calibration split
llm_accuracy  the LLM's pass@1 on the calibration split: keep an answer whose confidence is at least the
              LLM's accuracy (arXiv 2603.03752)
max_drop      the cheapest threshold whose accuracy is at least the LLM's minus delta. With `confidence`: on new
              questions, with that probability (promises.py, "net"). Without: on the calibration split
budget        the most accurate threshold whose cost on the calibration split is at most the budget
guarantee     the cheapest threshold that keeps its promise on new questions with probability 1 - alpha

How max_drop chooses:
- With `confidence` (default 0.9), `promise_of` makes it a promise: net drop at most delta, alpha = 1 - confidence.
  promises.py tests up to 40 thresholds in turn, the one that keeps the fewest answers first, each by the exact test
  of net_drop.py, and stops at the first that fails. The last one that passed is the choice.
- Without, `chosen_thresholds` takes the cheapest of the thresholds whose accuracy on the calibration split is at least
  the LLM's minus delta; of equally cheap ones, the most accurate.

A rule is applied to the observed calibration questions. For intervals that include the choice of the threshold, it is
also applied to each bootstrap resample of them.
Legend: M candidate thresholds; ... is empty for observed counts, R for resampled ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corea.cascade.promised_threshold import Promise, thresholds_that_hold, why_none
from corea.cascade.sweep import depth_of, thresholds_of
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.cascade_curve import Curve, curve
from corea.metrics.levels import Levels, Tally

Array = np.ndarray
ROUNDING = 1e-12
"""A share that equals a limit on paper must not fail by rounding."""


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


def choose(rule: str, calibration: Levels | None, cfg: CascadeConfig, explain: bool = True) -> Choice:
    """Apply `rule` to the calibration questions; None if the table has no calibration split.

    `explain` False leaves the note empty where no threshold is found: to compute how many questions it takes is slow.
    """
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
    threshold = float(chosen_thresholds(rule, calibration, calibration.observed, cfg))
    parameters = _parameters(rule, cfg)
    if np.isnan(threshold):
        note = _why_none(rule, calibration, cfg) if explain else ""
        return Choice(rule=rule, threshold=None, guarantee="none", parameters=parameters, note=note)
    return Choice(rule=rule, threshold=threshold, guarantee=_guarantee(rule, cfg), parameters=parameters)


def chosen_thresholds(rule: str, levels: Levels, tally: Tally, cfg: CascadeConfig) -> Array:
    """[...] the threshold that `rule` chooses on the counts `tally` of `levels`; NaN where it finds none."""
    if rule == "fixed":
        return np.full(tally.size.shape[:-1], cfg.threshold)
    if rule == "llm_accuracy":
        return tally.llm_right.sum(-1) / tally.size.sum(-1)
    promise = promise_of(rule, cfg)
    if promise is not None:
        return thresholds_that_hold(levels, tally, promise, cfg.thresholds)
    thresholds = thresholds_of(levels, cfg.thresholds)
    here = curve(tally).at(depth_of(levels, thresholds))
    if rule == "max_drop":
        allowed, first, second = here.accuracy >= _floor(here, cfg) - ROUNDING, here.cost, -here.accuracy
    else:
        allowed, first, second = here.cost <= _limit(here, cfg) * (1 + ROUNDING), -here.accuracy, here.cost
    return np.where(allowed.any(-1), thresholds[_best(allowed, first, second)], np.nan)


def promise_of(rule: str, cfg: CascadeConfig) -> Promise | None:
    """The promise that `rule` has to keep on new questions; None for rules without one."""
    if rule == "max_drop" and cfg.confidence is not None and cfg.delta > 0:
        return Promise(of="net", target=cfg.delta, alpha=round(1 - cfg.confidence, 12))
    if rule == "guarantee":
        target = cfg.kept_accuracy if cfg.guarantee == "kept_accuracy" else cfg.delta
        return Promise(of=cfg.guarantee, target=target, alpha=cfg.alpha)
    return None


def _floor(here: Curve, cfg: CascadeConfig) -> Array:
    """[..., 1] least accuracy that max_drop allows."""
    return here.llm_accuracy[..., None] - cfg.delta


def _limit(here: Curve, cfg: CascadeConfig) -> Array:
    """[..., 1] most cost of a question that budget allows."""
    if cfg.budget_usd is not None:
        return np.full((*here.llm_cost.shape, 1), cfg.budget_usd / 1000)
    return cfg.budget * here.llm_cost[..., None]


def _best(allowed: Array, first: Array, second: Array) -> Array:
    """[...] index of the allowed [..., M] threshold with the least `first`, of equal ones the least `second`."""
    first = np.where(allowed, first, np.inf)
    tied = first <= first.min(-1, keepdims=True)
    return np.where(tied, second, np.inf).argmin(-1)


def _parameters(rule: str, cfg: CascadeConfig) -> dict[str, float]:
    if rule == "max_drop":
        if cfg.confidence is None or not promise_of(rule, cfg):
            return {"delta": cfg.delta}
        return {"delta": cfg.delta, "confidence": cfg.confidence}
    if rule == "budget":
        return {"budget_usd": cfg.budget_usd} if cfg.budget_usd is not None else {"budget": cfg.budget}
    if rule == "guarantee":
        kept = cfg.guarantee == "kept_accuracy"
        return (
            {"kept_accuracy": cfg.kept_accuracy, "alpha": cfg.alpha}
            if kept
            else {"delta": cfg.delta, "alpha": cfg.alpha}
        )
    return {}


def _guarantee(rule: str, cfg: CascadeConfig) -> str:
    """What the rule promises on new questions, in words."""
    promise = promise_of(rule, cfg)
    if promise is not None:
        words = {
            "kept_accuracy": f"kept answers are right at least {promise.target:g} of the time",
        }.get(promise.of, f"pass@1 is at least the LLM's less {promise.target:g}")
        return (
            f"with probability {1 - promise.alpha:g} over the draw of the calibration questions, on new questions like "
            f"them {words} (Learn-then-Test, exact tests)"
        )
    if rule == "max_drop":
        return f"on the calibration split accuracy is at least the LLM's less {cfg.delta:g}; none on new questions"
    if rule == "budget":
        return f"on the calibration split it costs at most {_budget_words(cfg)}; none on new questions"
    return "none; if confidences are calibrated, kept answers are right at least as often as the LLM's"


def _budget_words(cfg: CascadeConfig) -> str:
    if cfg.budget_usd is not None:
        return f"${cfg.budget_usd:g} per 1,000 questions"
    return f"{cfg.budget:g} of the LLM's cost"


def _why_none(rule: str, levels: Levels, cfg: CascadeConfig) -> str:
    promise = promise_of(rule, cfg)
    if promise is not None:
        return why_none(levels, promise, cfg.thresholds)
    here = curve(levels.observed).at(depth_of(levels, thresholds_of(levels, cfg.thresholds)))
    if rule == "max_drop":  # possible with a grid that does not reach up to deferring everything
        floor = float(_floor(here, cfg)[0])
        return f"the best threshold of the grid reaches {here.accuracy.max():.4f} of the {floor:.4f} that are needed"
    if cfg.budget_usd is not None:
        return f"the cheapest threshold costs ${1000 * here.cost.min():.4g} per 1,000 questions"
    return f"the cheapest threshold costs {here.cost.min() / float(here.llm_cost):.3f} of the LLM alone"
