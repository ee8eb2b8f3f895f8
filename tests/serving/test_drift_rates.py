"""The false-alarm rate of the drift tests, and the delay at which a change is seen, by simulation."""

import numpy as np
import pytest

from corea.cascade.drift_tests import ChangeTest

ALPHA = 0.01 / 2
"""Each of the two tests of a dataset has half of serve.drift_false_alarm=0.01."""


def alarms(before, after, known: int, change: int, questions: int, streams: int, step: int, seed: int) -> np.ndarray:
    """[streams] question at which each stream raises an alarm, inf without; calibration questions are drawn anew."""
    rng = np.random.default_rng(seed)
    test = ChangeTest(rng.multinomial(known, before, streams))
    first = np.full(streams, np.inf)
    for at in range(step, questions + 1, step):
        wealth = test.add(rng.multinomial(step, before if at <= change else after, streams))
        first[(wealth >= np.log(1 / ALPHA)) & np.isinf(first)] = at
    return first


def rates(rate: float) -> list[float]:
    return [1 - rate, rate]


@pytest.mark.slow
@pytest.mark.parametrize("known", [100, 500, 2000])
@pytest.mark.parametrize("shares", [rates(0.05), rates(0.2), rates(0.4), [0.1] * 10, [0.02] * 5 + [0.3] * 3])
def test_of_1000_streams_of_10000_questions_at_most_the_stated_share_raises_an_alarm(shares, known):
    found = alarms(shares, shares, known, 10_000, 10_000, 1000, 50, seed=known)
    assert np.isfinite(found).sum() <= 5 + 2 * 5**0.5  # 5 expected at most; two standard deviations above


def test_of_300_streams_hardly_any_raises_a_false_alarm():
    assert np.isfinite(alarms(rates(0.4), rates(0.4), 500, 3000, 3000, 300, 100, seed=0)).sum() <= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "change", "median"), [(500, 5000, 6000), (2000, 0, 6000), (2000, 5000, 4500), (10_000, 0, 2500)]
)
def test_a_change_of_five_points_is_seen_within_the_documented_delay(known, change, median):
    found = alarms(rates(0.4), rates(0.45), known, change, change + 20_000, 200, 20, seed=known + change)
    assert np.median(found - change) < median
    assert (found > change).mean() > 0.99
