"""A reward component of your own: short completions."""

from collections.abc import Sequence

from corea.types import Rollout


def brevity(rollouts: Sequence[Rollout], limit: int) -> list[float]:
    """1 for a completion of at most `limit` tokens, else 0. `rollouts` are those of one question, already graded."""
    return [float(r.completion.completion_tokens <= limit) for r in rollouts]
