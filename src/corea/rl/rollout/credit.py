"""Which tokens get the credit for which part of the reward.

`whole` gives every token of a completion the advantage of the total reward, as GRPO does. `segment` gives the tokens up
to and including the tag <confidence> the advantage of everything but calibration, and those behind it the advantage of
calibration: whether the answer is right says nothing about the confidence that was drawn after it, and for the
confidence token it is noise that is larger than the signal. Not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corea.config import RewardConfig, TrainerConfig
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.reward import answer_reward
from corea.types import Completion, Group

TAG = "<confidence>"


def confidence_start(completion: Completion, decode: Callable[[Sequence[int]], str]) -> int | None:
    """Index of the first token behind the last opening tag; None where there is no tag. By bisection on prefixes."""
    wanted = completion.text.count(TAG)
    if not wanted:
        return None
    low, high = 1, len(completion.token_ids)  # decode(ids[:high]) has all tags
    while low < high:
        middle = (low + high) // 2
        if decode(completion.token_ids[:middle]).count(TAG) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low


def token_advantages(
    group: Group, trainer: TrainerConfig, reward: RewardConfig, decode: Callable[[Sequence[int]], str]
) -> list[list[float]]:
    """[G][T] advantages of every token of every rollout of a group."""
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
