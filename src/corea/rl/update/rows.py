"""Groups -> rows: the tokens, advantages and weights that the update needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from corea.config import TrainConfig
from corea.rl.rollout.credit import confidence_starts, token_advantages
from corea.rl.rollout.stated_number import NumberTokens
from corea.rl.update.batching import Row
from corea.types import Group, Rollout


def in_loss(rollout: Rollout, mask_truncated: bool) -> bool:
    """False for a completion that is left out of the loss and of its denominator: an empty one, and with
    `mask_truncated` one that reached the token limit."""
    masked = mask_truncated and rollout.completion.finish_reason == "length"
    return bool(rollout.completion.token_ids) and not masked


def build_rows(
    groups: Sequence[Group],
    weight_of: Callable[[Rollout], float],
    cfg: TrainConfig,
    decode: Callable[[Sequence[int]], str],
    numbers: NumberTokens | None = None,
) -> list[Row]:
    """One row per completion that is in the loss.

    A group whose advantages are all 0 is skipped unless there is a KL term, which gives it a gradient. The
    denominator inside `weight_of` counts skipped groups too.

    Args:
        weight_of: weight of each token of a rollout in the loss.
        decode: token ids to text; finds the confidence.
        numbers: with trainer.credit=expected.
    """
    loss = cfg.trainer.loss
    rows = []
    for group in groups:
        starts = confidence_starts(group, decode)
        choices = numbers.choices(group, starts) if numbers else [[]] * len(starts)
        by_token = token_advantages(group, starts, choices)
        if loss.kl == 0 and not any(map(any, by_token)) and not any(choices):
            continue
        rows += [
            Row(
                prompt_ids=r.completion.prompt_ids,
                token_ids=r.completion.token_ids,
                rollout_logprobs=r.completion.logprobs,
                advantages=row,
                weight=weight_of(r),
                kl_tokens=None if loss.kl_confidence else start,
                choices=stated,
            )
            for r, row, start, stated in zip(group.rollouts, by_token, starts, choices, strict=True)
            if in_loss(r, loss.mask_truncated)
        ]
    return rows
