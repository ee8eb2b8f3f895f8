"""Advantages: rewards of one group -> how much better each rollout is than its group.

dr_grpo is the default: dividing by the standard deviation (grpo) blows tiny differences of confidence in groups that
are all correct up to full size (Liu et al., arXiv 2503.20783). Pure functions; imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

STD_EPS = 1e-4
"""Added to the standard deviation in grpo, as TRL does."""


def grpo(rewards: Sequence[float]) -> list[float]:
    """(r - mean) / (std + 1e-4) with the sample standard deviation (Shao et al., arXiv 2402.03300, section 4.1)."""
    centred = dr_grpo(rewards)
    std = math.sqrt(sum(a * a for a in centred) / (len(rewards) - 1))
    return [a / (std + STD_EPS) for a in centred]


def dr_grpo(rewards: Sequence[float]) -> list[float]:
    """r - mean (arXiv 2503.20783, section 3.2)."""
    mean = math.fsum(rewards) / len(rewards)
    return [r - mean for r in rewards]


def rloo(rewards: Sequence[float]) -> list[float]:
    """r - mean of the others (Ahmadian et al., arXiv 2402.14740, equation 8)."""
    total, others = math.fsum(rewards), len(rewards) - 1
    return [r - (total - r) / others for r in rewards]


ADVANTAGES = {"grpo": grpo, "dr_grpo": dr_grpo, "rloo": rloo}


def advantages(rewards: Sequence[float], kind: str) -> list[float]:
    """[G] rewards of one group -> [G] advantages; exactly 0 where all rewards are equal (a degenerate group)."""
    if max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    return ADVANTAGES[kind](rewards)
