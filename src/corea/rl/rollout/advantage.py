"""Advantages: how much better each rollout is than its group, computed from the rewards of the group.

dr_grpo is the default. Dividing by the standard deviation (grpo) turns tiny differences of confidence in an all-correct
group into full-sized advantages (Liu et al., arXiv 2503.20783). The user's own function is named module:function or
file.py:function; see docs/extending.md. Pure functions; imports no torch.

Legend: G completions of one question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from corea.errors import UserError
from corea.types import ROUNDING
from corea.user_code import load_function

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
    """[G] rewards of one group -> [G] advantages; exactly 0 if all rewards are equal up to rounding (a degenerate
    group).

    Raises:
        UserError: the user's own function cannot be loaded, or does not return G finite numbers.
    """
    if kind not in ADVANTAGES:
        return _own_advantages(rewards, kind)
    if max(rewards) - min(rewards) <= ROUNDING:
        return [0.0] * len(rewards)
    return ADVANTAGES[kind](rewards)


def _own_advantages(rewards: Sequence[float], name: str) -> list[float]:
    function = load_function("trainer.advantage", name, allowed=", ".join(ADVANTAGES))
    return finite_numbers("trainer.advantage", name, function(list(rewards)), len(rewards))


def finite_numbers(key: str, name: str, values: Sequence[float], count: int) -> list[float]:
    """The values that the user's function `name` returned for one group, as floats.

    Raises:
        UserError: it is not `count` finite numbers.
    """
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        shown = ", ".join(f"{n:g}" for n in numbers[:5])
        raise UserError(
            f"{key}={name}: must return {count} finite numbers, one per rollout; got {len(numbers)}: {shown}"
        )
    return numbers
