"""Components of the reward that a user adds without touching corea.

    reward:
      extra:
        brevity:
          _target_: my_package.rewards.brevity
          weight: 0.1
          params: {limit: 200}

with, anywhere on the Python path,

    def brevity(rollouts, limit):
        return [float(r.completion.completion_tokens <= limit) for r in rollouts]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from hydra.utils import get_method

from corea.config import RewardConfig
from corea.errors import UserError
from corea.types import Rollout

Component = Callable[[Sequence[Rollout]], Sequence[float]]


def load_extras(cfg: RewardConfig) -> dict[str, Component]:
    """The user's functions by name, with their parameters bound.

    Raises:
        UserError: nothing that can be called is at `_target_`.
    """
    loaded = {}
    for name, extra in cfg.extra.items():
        try:
            function = get_method(extra._target_)
        except Exception as error:  # whatever importing the user's module raises
            reason = str(error).strip().splitlines()[-1]
            raise UserError(f"reward.extra.{name}._target_={extra._target_}: cannot be loaded: {reason}") from error
        loaded[name] = _bound(name, function, extra.params)
    return loaded


def _bound(name: str, function: Callable[..., Sequence[float]], params: dict) -> Component:
    def component(rollouts: Sequence[Rollout]) -> list[float]:
        values = [float(value) for value in function(list(rollouts), **params)]
        if len(values) != len(rollouts) or not all(map(math.isfinite, values)):
            shown = ", ".join(f"{v:g}" for v in values[:5])
            raise UserError(
                f"reward.extra.{name}: {len(rollouts)} finite numbers are wanted, one a rollout; got {len(values)}: "
                f"{shown}"
            )
        return values

    return component


def add_extras(rollouts: Sequence[Rollout], extras: dict[str, Component]) -> None:
    """Fill the user's components into `rewards` of the rollouts of one question."""
    for name, component in extras.items():
        for rollout, value in zip(rollouts, component(rollouts), strict=True):
            rollout.rewards[name] = value
