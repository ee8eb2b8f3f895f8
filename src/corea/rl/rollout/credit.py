"""Credit assignment: which tokens receive the advantage of which part of the reward.

`whole` gives every token of a completion the advantage of the total reward, as GRPO does. `segment` gives the tokens up
to and including the tag <confidence> the advantage of the reward without calibration, and the tokens after it the
advantage of calibration. Whether the answer is right does not depend on the confidence sampled after it, so for the
confidence tokens correctness is only noise, and larger than the signal. Not in the paper.

Legend: G completions of one question, T tokens of a completion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corea.config import RewardConfig, TrainerConfig
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.reward import answer_reward
from corea.types import Completion, Group

TAG = "<confidence>"


def confidence_start(completion: Completion, decode: Callable[[Sequence[int]], str]) -> int | None:
    """Index of the first token after the last opening tag, found by bisection on prefixes; None without a tag."""
    tags = completion.text.count(TAG)
    if not tags:
        return None
    low, high = 1, len(completion.token_ids)  # decode(ids[:high]) contains all tags
    while low < high:
        middle = (low + high) // 2
        if decode(completion.token_ids[:middle]).count(TAG) >= tags:
            high = middle
        else:
            low = middle + 1
    return low


def token_advantages(
    group: Group, trainer: TrainerConfig, reward: RewardConfig, decode: Callable[[Sequence[int]], str]
) -> list[list[float]]:
    """[G][T] advantage of each token of each rollout of a group."""
    if trainer.credit == "whole":
        return [[r.advantage] * len(r.completion.token_ids) for r in group.rollouts]
    answer = [answer_reward(r.rewards, reward) for r in group.rollouts]
    stated = [reward.calib * r.rewards["calib"] for r in group.rollouts]
    parts = zip(
        group.rollouts, advantages(answer, trainer.advantage), advantages(stated, trainer.advantage), strict=True
    )
    rows = []
    for rollout, first, second in parts:
        length = len(rollout.completion.token_ids)
        start = confidence_start(rollout.completion, decode)
        if start is None:
            rows.append([rollout.advantage] * length)
        else:
            rows.append([first] * start + [second] * (length - start))
    return rows
