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

A function that takes `completions` is a reward function of TRL and is called as TRL does (trl_function.py). Every
function runs in a separate process (reward_process.py). It may be asynchronous: then the calls for all questions run
concurrently.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from corea.config import RewardConfig
from corea.rl.rollout.advantage import finite_numbers
from corea.rl.rollout.reward_process import RewardProcess
from corea.types import Rollout


class ExtraRewards:
    """The user's reward components of a run. TRL's functions get the messages of `prompt`."""

    def __init__(self, cfg: RewardConfig, prompt: str = "plain"):
        self.processes = {name: RewardProcess(name, extra, prompt) for name, extra in cfg.extra.items()}

    @property
    def timeouts(self) -> int:
        """Questions without a result in time, so far."""
        return sum(process.timeouts for process in self.processes.values())

    def start(self) -> None:
        """Start the processes, so that a wrong name fails before the model is loaded.

        Raises:
            UserError: a `_target_` cannot be loaded or called.
        """
        for process in self.processes.values():
            process.start()

    def add(self, groups: Sequence[Sequence[Rollout]]) -> None:
        """Add the components to `rewards` of the rollouts of each question; all functions work at the same time.

        A question without a result in time gets 0 for all its rollouts, which gives it no advantage by this component.

        Raises:
            UserError: a function fails, or does not return one finite number per rollout.
        """
        if not self.processes or not groups:
            return
        with ThreadPoolExecutor(len(self.processes)) as threads:
            found = list(threads.map(lambda process: process.values(groups), self.processes.values()))
        for (name, process), results in zip(self.processes.items(), found, strict=True):
            for rollouts, values in zip(groups, results, strict=True):
                numbers = [0.0] * len(rollouts) if values is None else values
                checked = finite_numbers(f"reward.extra.{name}._target_", process.cfg._target_, numbers, len(rollouts))
                for rollout, value in zip(rollouts, checked, strict=True):
                    rollout.rewards[name] = value

    def close(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.close()
