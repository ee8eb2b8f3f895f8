"""Reward: r = w_correct * correct + w_format * well_formed + w_calib * (-distance(confidence, target)).

The paper (arXiv 2603.03752) holds the confidence against the mean correctness of all rollouts of the question (group
target, L1). Here the distance is also defined for missing confidences and malformed completions: they get its worst
value, so leaving the confidence out never pays. Pure functions; imports no torch. A user's own components: extra.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from corea.config import RewardConfig
from corea.types import Parsed


def distance(confidence: float, target: float, kind: str, eps: float) -> float:
    """Distance between a confidence c and a probability p, both in [0, 1].

    l1: |c - p|; l2: (c - p)^2; kl: KL(Bern(p) || Bern(c)); log: -[p ln c + (1 - p) ln(1 - c)], p being 0 or 1.
    In kl and log the arguments of the logarithms are clamped to [eps, 1 - eps].
    """
    if kind == "l1":
        return abs(confidence - target)
    if kind == "l2":
        return (confidence - target) ** 2
    c = min(max(confidence, eps), 1 - eps)
    if kind == "log":
        return -(target * math.log(c) + (1 - target) * math.log(1 - c))
    p = min(max(target, eps), 1 - eps)
    return p * math.log(p / c) + (1 - p) * math.log((1 - p) / (1 - c))


def worst_distance(kind: str, eps: float) -> float:
    """The largest value `distance` takes over all confidences and targets."""
    if kind in ("l1", "l2"):
        return 1.0
    if kind == "log":
        return -math.log(eps)
    return (1 - 2 * eps) * math.log((1 - eps) / eps)


def targets(correct: Sequence[float], kind: str) -> list[float]:
    """What each confidence of a group is held against.

    sample: own correctness; group: mean of all; group_loo: mean of the others.
    """
    total, size = sum(correct), len(correct)
    if kind == "sample":
        return list(correct)
    if kind == "group":
        return [total / size] * size
    return [(total - own) / (size - 1) for own in correct]


def group_rewards(parsed: Sequence[Parsed], correct: Sequence[float], cfg: RewardConfig) -> list[dict[str, float]]:
    """Unweighted components of every rollout of one question, in order.

    Args:
        parsed: [G] completions taken apart.
        correct: [G] 1.0 or 0.0.

    Returns:
        [G] {"correct", "format", "calib"}; calib is minus the distance, so larger is better for all three.
    """
    rows = []
    for own, right, target in zip(parsed, correct, targets(correct, cfg.target), strict=True):
        usable = own.confidence is not None and (own.well_formed or not cfg.gate_calib)
        gap = (
            distance(own.confidence, target, cfg.distance, cfg.eps) if usable else worst_distance(cfg.distance, cfg.eps)
        )
        counts = own.well_formed or not cfg.gate_correct
        rows.append({"correct": float(right and counts), "format": float(own.well_formed), "calib": -gap})
    return rows


def answer_reward(parts: dict[str, float], cfg: RewardConfig) -> float:
    """Weighted sum of the components that do not speak of the confidence."""
    own = cfg.correct * parts["correct"] + cfg.format * parts["format"]
    return own + sum(extra.weight * parts[name] for name, extra in cfg.extra.items())


def total_reward(parts: dict[str, float], cfg: RewardConfig) -> float:
    """Weighted sum of the components."""
    return answer_reward(parts, cfg) + cfg.calib * parts["calib"]


def reward_warnings(cfg: RewardConfig, group_size: int | None = None) -> list[str]:
    """What a user should know about this reward before spending a run on it.

    A rule is proper where the expected reward is largest at the true probability. Squared, KL and log distances are
    best at the mean of their target, which is that probability for all targets; L1 is best at the median, which for
    the share of right answers in a group lies within ln 2 / n of it (n answers; Hamza 1995 bounds mean - median of a
    binomial by ln 2).
    """
    if not cfg.calib or cfg.distance != "l1":
        return []
    if cfg.target == "sample":
        return [
            "reward.distance=l1 with reward.target=sample is not a proper scoring rule: the best confidence is 0 or 1, "
            "never the probability of being right. Take reward.target=group or reward.distance=l2"
        ]
    counted = (group_size or 0) - (cfg.target == "group_loo")
    if group_size is not None and counted < 8:
        return [
            f"reward.distance=l1 with reward.target={cfg.target} over {counted} completions is not a proper scoring "
            f"rule: the best confidence is the median pass rate, up to {math.log(2) / counted:.2f} away from the "
            "probability of being right. Take a larger trainer.group_size or reward.distance=l2"
        ]
    return []
