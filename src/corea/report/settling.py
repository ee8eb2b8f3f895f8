"""How many more questions would settle whether a cascade keeps its promise.

The promise is a drop of pass@1 of at most delta. An interval settles it when it lies on one side of -delta. Where it
does not, the end that lies beyond would have to come to -delta. The distance of an end from the measured value shrinks
with the square root of the number of questions (of a mean, Wald), so that n questions become

    n * ((value - low) / (value + delta))^2     if the measured drop keeps the promise
    n * ((high - value) / (-delta - value))^2   if it breaks it.

This takes the measured drop for the true one. With other questions it is another one, so the number is an order of
magnitude and no promise; it is not given above MOST, where the drop is too close to delta to be told from it.
"""

from __future__ import annotations

import math

from corea.metrics.figures import Figure

MOST = 1_000_000
"""Above this many questions, give no number."""


def settles(change: Figure, delta: float) -> bool | None:
    """Whether the interval of the change of pass@1 keeps the promise (True), breaks it (False) or leaves it open."""
    if not (math.isfinite(change.low) and math.isfinite(change.high)):
        return None
    return True if change.low >= -delta else False if change.high < -delta else None


def questions_to_settle(change: Figure, delta: float) -> int | None:
    """More test questions after which the interval would lie on one side of -delta, if the change stays as it is.

    None: it does so already, there is no interval, or more than MOST.
    """
    if settles(change, delta) is not None or not math.isfinite(change.low - change.high):
        return None
    away = change.value + delta
    reach = change.value - change.low if away > 0 else change.high - change.value
    if away == 0 or change.n * (reach / away) ** 2 - change.n > MOST:
        return None
    return max(1, math.ceil(change.n * (reach / away) ** 2) - change.n)


def settling_words(change: Figure, delta: float) -> str:
    """What the test questions say about the promise, and how many more would settle it; "" without an interval."""
    if not (math.isfinite(change.low) and math.isfinite(change.high)):
        return ""
    kept, allowed = settles(change, delta), f"a drop of at most {100 * delta:g} points"
    if kept is not None:
        return f"the test questions {'confirm' if kept else 'contradict'} {allowed}"
    more = questions_to_settle(change, delta)
    if more is None:
        return f"the test questions leave {allowed} open, and no practical number of them would settle it"
    return (
        f"the test questions leave {allowed} open: about {rounded(more):,} more would settle it at the measured change"
    )


def rounded(number: int) -> int:
    """Two significant digits, upwards: what an order of magnitude deserves."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return -(-number // unit) * unit
