"""Advantages by hand and against numpy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corea.rl.rollout.advantage import advantages

REWARDS = st.lists(st.floats(-2, 2), min_size=2, max_size=32).filter(lambda r: max(r) - min(r) > 1e-3)


def test_by_hand():
    rewards = [1.0, 0.0, 0.0, 1.0]
    assert advantages(rewards, "dr_grpo") == [0.5, -0.5, -0.5, 0.5]
    # sample standard deviation of 1,0,0,1 is sqrt(1/3)
    assert advantages(rewards, "grpo") == pytest.approx([0.866, -0.866, -0.866, 0.866], abs=2e-4)
    # mean of the others: 1/3 for a 1, 2/3 for a 0
    assert advantages(rewards, "rloo") == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])


@given(REWARDS)
def test_against_numpy(rewards):
    r = np.array(rewards)
    others = (r.sum() - r) / (len(r) - 1)
    assert advantages(rewards, "dr_grpo") == pytest.approx(r - r.mean(), abs=1e-12)
    assert advantages(rewards, "grpo") == pytest.approx((r - r.mean()) / (r.std(ddof=1) + 1e-4), abs=1e-9)
    assert advantages(rewards, "rloo") == pytest.approx(r - others, abs=1e-12)


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo", "rloo"])
def test_equal_rewards_give_exactly_zero(kind):
    assert advantages([0.1 + 0.2] * 7, kind) == [0.0] * 7
    assert advantages([0.1 + 0.2, 0.3], kind) == [0.0] * 2  # they differ by 6e-17, by rounding alone
