"""Schema of the group `reward` (DESIGN section 5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from corea.config.checks import one_of, require, within
from corea.tasks.grading.names import is_own

DISTANCES = ("l1", "l2", "kl", "log")
TARGETS = ("sample", "group", "group_loo")
COMPONENTS = ("correct", "format", "calib")
"""Names of corea's own components; each has a weight of the same name in RewardConfig."""


@dataclass
class ExtraRewardConfig:
    """A component of the user's own: `_target_` names a function(rollouts, **params) -> one number a rollout.

    It is called with the list of rollouts of one question (corea.types.Rollout, already parsed and graded).
    """

    _target_: str = MISSING
    weight: float = 1.0
    """May be negative; 0 logs the component without training on it."""
    params: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the function."""


@dataclass
class RewardConfig:
    """r = correct * correctness + format * well_formed + calib * (-distance(confidence, target))."""

    name: str = MISSING
    correct: float = 1.0
    """Weight of correctness (0 or 1)."""
    format: float = 0.1
    """Weight of the format (0 or 1)."""
    calib: float = 1.0
    """Weight of the calibration term; 0 is RLVR."""
    distance: str = "l1"
    """l1 |c-p|, l2 (c-p)^2, kl KL(Bern(p)||Bern(c)), log -[y ln c + (1-y) ln(1-c)] (sample targets only);
    or a function of your own, module:function or file.py:function, of (confidence, target)."""
    target: str = "group"
    """What the confidence is held against: sample (own correctness), group (mean), group_loo (mean of the others)."""
    eps: float = 0.01
    """Probabilities are clamped to [eps, 1-eps] in kl and log."""
    gate_correct: bool = False
    """A malformed completion gets no correctness either."""
    gate_calib: bool = True
    """A malformed completion gets the distance's worst value; false: its confidence counts where one can be read."""
    extra: dict[str, ExtraRewardConfig] = field(default_factory=dict)
    """Components of the user's own, by name."""

    def __post_init__(self) -> None:
        for key in ("correct", "format", "calib"):
            require(getattr(self, key) >= 0, f"reward.{key}", getattr(self, key), "a weight >= 0")
        if not is_own(self.distance):
            one_of("reward.distance", self.distance, (*DISTANCES, "module:function", "file.py:function"))
        one_of("reward.target", self.target, TARGETS)
        within("reward.eps", self.eps, 1e-6, 0.49)
        if self.distance == "log" and self.target != "sample":
            raise ValueError(f"reward.target={self.target}: allowed with reward.distance=log is sample")
        taken = sorted(self.extra.keys() & {*COMPONENTS, "total"})
        require(not taken, "reward.extra", taken, "names other than " + ", ".join((*COMPONENTS, "total")))
