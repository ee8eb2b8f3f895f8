"""Schema of the group `reward`: the terms of the reward and their weights (docs/training.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from corea.config.allowed_names import one_of_or_own
from corea.config.checks import Allowed, above, check, checked, one_of, require, within

DISTANCES = ("l1", "l2", "kl", "log")
TARGETS = ("sample", "group", "group_loo")
COMPONENTS = ("correct", "format", "calib")
"""Names of corea's own components; each has a weight of the same name in RewardConfig."""
_WEIGHT = Allowed("a weight >= 0", lambda value: value >= 0)


@dataclass
class ExtraRewardConfig:
    """The user's own component: `_target_` names a function(rollouts, **params) -> one number per rollout.

    It is called with the list of rollouts of one question (corea.types.Rollout, already parsed and graded).
    """

    _target_: str = MISSING
    """Dotted path of the function."""
    weight: float = 1.0
    """Weight of the component; may be negative. 0 logs the component without training on it."""
    params: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function."""
    timeout_s: float = checked(60.0, above(0))
    """Seconds for the rollouts of one question; without a result by then they get 0, and a warning."""

    def __post_init__(self) -> None:
        check(self, "reward.extra.NAME")


@dataclass
class RewardConfig:
    """r = correct * correctness + format * well_formed + calib * (-distance(confidence, target)).

    rl/rollout/reward.py computes it.
    """

    name: str = MISSING
    """Name of the choice."""
    correct: float = checked(1.0, _WEIGHT)
    """Weight of correctness (0 or 1)."""
    format: float = checked(0.1, _WEIGHT)
    """Weight of the format (0 or 1)."""
    calib: float = checked(1.0, _WEIGHT)
    """Weight of the calibration term; 0 is RLVR."""
    distance: str = checked("l1", one_of_or_own(*DISTANCES))
    """l1 |c-p|, l2 (c-p)^2, kl KL(Bern(p)||Bern(c)), log -[y ln c + (1-y) ln(1-c)] (sample targets only);
    or a function of your own, module:function or file.py:function, of (confidence, target)."""
    target: str = checked("group", one_of(*TARGETS))
    """Target p of the confidence: sample (the rollout's own correctness), group (mean correctness of the group),
    group_loo (mean of the others)."""
    eps: float = checked(0.01, within(1e-6, 0.49))
    """Probabilities are clamped to [eps, 1-eps] in kl and log."""
    gate_correct: bool = False
    """Give a malformed completion no correctness reward."""
    gate_calib: bool = True
    """Give a malformed completion the worst value of the distance; false: use its confidence if it can be read."""
    extra: dict[str, ExtraRewardConfig] = field(default_factory=dict)
    """The user's own components, by name."""

    def __post_init__(self) -> None:
        check(self, "reward")
        if self.distance == "log" and self.target != "sample":
            raise ValueError(f"reward.target={self.target}: allowed with reward.distance=log is sample")
        taken = sorted(self.extra.keys() & {*COMPONENTS, "total"})
        require(not taken, "reward.extra", taken, "names other than " + ", ".join((*COMPONENTS, "total")))
