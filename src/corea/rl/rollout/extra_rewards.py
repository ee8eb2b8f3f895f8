"""Reward components that users add without changing corea.

    reward:
      extra:
        brevity:
          _target_: my_package.rewards.brevity  # or my_rewards.py:brevity
          weight: 0.1
          params: {limit: 200}

with

    def brevity(rollouts, limit):
        return [float(r.completion.completion_tokens <= limit) for r in rollouts]

A function that takes `completions` is a reward function of TRL and is called as TRL does (trl_function.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corea.config import RewardConfig
from corea.rl.rollout.advantage import finite_numbers
from corea.rl.rollout.trl_function import from_trl, is_trl_function
from corea.types import Rollout
from corea.user_code import load_function

Component = Callable[[Sequence[Rollout]], Sequence[float]]


def load_extras(cfg: RewardConfig, prompt: str = "plain") -> dict[str, Component]:
    """The user's functions by name, with their parameters bound. TRL's functions get the messages of `prompt`.

    Raises:
        UserError: a `_target_` cannot be loaded or called.
    """
    return {
        name: _bind(f"reward.extra.{name}._target_", extra._target_, extra.params, prompt)
        for name, extra in cfg.extra.items()
    }


def _bind(key: str, target: str, params: dict, prompt: str) -> Component:
    function = load_function(key, target)
    if is_trl_function(function):
        function = from_trl(f"{key}={target}", function, prompt)

    def component(rollouts: Sequence[Rollout]) -> list[float]:
        return finite_numbers(key, target, function(list(rollouts), **params), len(rollouts))

    return component


def add_extras(rollouts: Sequence[Rollout], extras: dict[str, Component]) -> None:
    """Add the user's components to `rewards` of the rollouts of one question."""
    for name, component in extras.items():
        for rollout, value in zip(rollouts, component(rollouts), strict=True):
            rollout.rewards[name] = value
