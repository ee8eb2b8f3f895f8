"""Credit assignment: which tokens receive the advantage of which part of the reward.

`whole` gives every token of a completion the advantage of the total reward, as GRPO does. `segment` gives the tokens up
to and including the tag <confidence> the advantage of the reward without calibration, and the tokens after it the
advantage of calibration. Whether the answer is right does not depend on the confidence sampled after it, so for the
confidence tokens correctness is only noise, and larger than the signal. `expected` is like `segment`, but the tokens of
the number get no advantage: stated_number.py gives their exact gradient, without the noise of sampling one number; the
tokens after it get that of the answer. Neither is in the paper.

Legend: G completions of one question, T tokens of a completion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corea.config import RewardConfig, TrainerConfig
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.reward import answer_reward
from corea.rl.rollout.stated_number import Choice
from corea.types import Completion, Group, Rollout

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


def assign_segment_advantages(rollouts: Sequence[Rollout], trainer: TrainerConfig, reward: RewardConfig) -> None:
    """Set `segment_advantages` of the rollouts of one question that state a confidence, for another trainer.credit than
    whole."""
    if trainer.credit == "whole":
        return
    answer = advantages([answer_reward(r.rewards, reward) for r in rollouts], trainer.advantage)
    stated = advantages([reward.calib * r.rewards["calib"] for r in rollouts], trainer.advantage)
    for rollout, first, second in zip(rollouts, answer, stated, strict=True):
        if TAG in rollout.completion.text:
            rollout.segment_advantages = (first, second)


def confidence_starts(group: Group, decode: Callable[[Sequence[int]], str]) -> list[int | None]:
    """[G] index of the first token of each stated confidence; None where all tokens have one advantage."""
    return [confidence_start(r.completion, decode) if r.segment_advantages else None for r in group.rollouts]


def token_advantages(
    group: Group, starts: Sequence[int | None], choices: Sequence[Sequence[Choice]] | None = None
) -> list[list[float]]:
    """[G][T] advantage of each token of each rollout of a group.

    Args:
        starts: from `confidence_starts`.
        choices: [G] tokens of the numbers whose gradient is known exactly, with trainer.credit=expected.
    """
    rows = []
    for rollout, start, exact in zip(group.rollouts, starts, choices or [[]] * len(starts), strict=True):
        length = len(rollout.completion.token_ids)
        if rollout.segment_advantages is None or start is None:
            rows.append([rollout.advantage] * length)
            continue
        first, second = rollout.segment_advantages
        end = start + len(exact)
        rows.append([first] * start + [0.0] * len(exact) + [first if exact else second] * (length - end))
    return rows
