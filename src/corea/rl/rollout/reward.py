"""Reward: r = w_correct * correct + w_format * well_formed + w_calib * (-distance(confidence, target)).

The paper (arXiv 2603.03752) compares the confidence with the mean correctness of all rollouts of the question (group
target, L1). Here the distance is also defined for missing confidences and malformed completions: they get its worst
value, so that leaving out the confidence is never an advantage. Pure functions; imports no torch. The user's own
components: extra_rewards.py.

A weight such as `reward.calib=0.5` on the command line is a field of RewardConfig (config/reward_schema.py), which the
trainer holds as `cfg.reward`; `total_reward` below applies it.

Legend: G completions of one question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from corea.config import RewardConfig
from corea.errors import UserError
from corea.types import Parsed
from corea.user_code import load_function

DISTANCES = ("l1", "l2", "kl", "log")
GRID = [k / 20 for k in range(21)]
"""Confidences and targets at which the worst value of the user's own distance is searched."""


def distance(confidence: float, target: float, kind: str, eps: float) -> float:
    """Distance between a confidence c and a probability p, both in [0, 1].

    l1: |c - p|; l2: (c - p)^2; kl: KL(Bern(p) || Bern(c)); log: -[p ln c + (1 - p) ln(1 - c)] with p 0 or 1.
    In kl and log the arguments of the logarithms are clamped to [eps, 1 - eps]. Any other kind names the user's own
    function of (c, p).
    """
    if kind == "l1":
        return abs(confidence - target)
    if kind == "l2":
        return (confidence - target) ** 2
    if kind not in DISTANCES:
        return own_distance(kind)(confidence, target)
    c = min(max(confidence, eps), 1 - eps)
    if kind == "log":
        return -(target * math.log(c) + (1 - target) * math.log(1 - c))
    p = min(max(target, eps), 1 - eps)
    return p * math.log(p / c) + (1 - p) * math.log((1 - p) / (1 - c))


def worst_distance(kind: str, eps: float) -> float:
    """Largest value of `distance` over all confidences and targets; of the user's own, over a grid in steps of 0.05."""
    if kind in ("l1", "l2"):
        return 1.0
    if kind == "log":
        return -math.log(eps)
    if kind not in DISTANCES:
        return _worst_own(kind)
    return (1 - 2 * eps) * math.log((1 - eps) / eps)


def own_distance(name: str) -> Callable[[float, float], float]:
    """The user's own distance: (confidence, target) -> finite number, smaller is better.

    Raises:
        UserError: it cannot be loaded, or returns something else.
    """
    function = load_function("reward.distance", name, allowed=", ".join(DISTANCES))

    def checked(confidence: float, target: float) -> float:
        value = float(function(confidence, target))
        if not math.isfinite(value):
            raise UserError(
                f"reward.distance={name}: must return a finite number for every confidence and target in [0, 1]; "
                f"got {value:g} for ({confidence:g}, {target:g})"
            )
        return value

    return checked


@lru_cache(maxsize=16)
def _worst_own(name: str) -> float:
    function = own_distance(name)
    return max(function(confidence, target) for confidence in GRID for target in GRID)


def targets(correct: Sequence[float], kind: str) -> list[float]:
    """[G] calibration target of each rollout, from the correctness of all.

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
        parsed: [G] parsed completions.
        correct: [G] 1.0 or 0.0.

    Returns:
        [G] {"correct", "format", "calib"}; calib is minus the distance, so larger is better for all three.
    """
    rows = []
    for own, right, target in zip(parsed, correct, targets(correct, cfg.target), strict=True):
        if own.confidence is not None and (own.well_formed or not cfg.gate_calib):
            gap = distance(own.confidence, target, cfg.distance, cfg.eps)
        else:
            gap = worst_distance(cfg.distance, cfg.eps)
        counts = own.well_formed or not cfg.gate_correct
        rows.append({"correct": float(right and counts), "format": float(own.well_formed), "calib": -gap})
    return rows


def answer_reward(parts: dict[str, float], cfg: RewardConfig) -> float:
    """Weighted sum without the calibration term."""
    own = cfg.correct * parts["correct"] + cfg.format * parts["format"]
    return own + sum(extra.weight * parts[name] for name, extra in cfg.extra.items())


def total_reward(parts: dict[str, float], cfg: RewardConfig) -> float:
    """Weighted sum of all components."""
    return answer_reward(parts, cfg) + cfg.calib * parts["calib"]


def reward_warnings(cfg: RewardConfig, group_size: int | None = None) -> list[str]:
    """Warnings about a reward that is not a proper scoring rule.

    A rule is proper if the expected reward is largest at the true probability of being right. Squared, KL and log
    distances are smallest at the mean of their target, which is that probability for every target. L1 is smallest at
    the median. For the share of right answers among n, the median lies within ln 2 / n of the mean (Hamza 1995: mean
    and median of a binomial differ by at most ln 2).
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
