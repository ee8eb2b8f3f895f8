"""An advantage function of your own: by rank, so that one extreme reward does not dominate its group."""

from collections.abc import Sequence


def by_rank(rewards: Sequence[float]) -> list[float]:
    """Rank of each reward in its group, from -1 (lowest) to 1 (highest); equal rewards get their mean rank."""
    size = len(rewards)
    below = [sum(other < r for other in rewards) for r in rewards]
    equal = [sum(other == r for other in rewards) for r in rewards]
    return [(2 * b + e - 1 - (size - 1)) / (size - 1) for b, e in zip(below, equal, strict=True)]
