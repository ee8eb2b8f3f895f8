"""Rewards by hand, and the property that makes a scoring rule proper."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corea.config import RewardConfig
from corea.rl.rollout.reward import distance, group_rewards, reward_warnings, targets, total_reward, worst_distance
from corea.types import Parsed, Status

KINDS = ("l1", "l2", "kl", "log")


def parsed(confidence, well_formed=True):
    status = Status.OK if confidence is not None else Status.UNPARSED_CONFIDENCE
    return Parsed(answer="4", confidence=confidence, status=status, well_formed=well_formed)


def test_distances_by_hand():
    assert distance(0.8, 0.5, "l1", 0.01) == pytest.approx(0.3)
    assert distance(0.8, 0.5, "l2", 0.01) == pytest.approx(0.09)
    # KL(Bern(0.5) || Bern(0.8)) = 0.5 ln(0.5/0.8) + 0.5 ln(0.5/0.2)
    assert distance(0.8, 0.5, "kl", 0.01) == pytest.approx(0.22314, abs=1e-5)
    assert distance(0.8, 1.0, "log", 0.01) == pytest.approx(-math.log(0.8))
    assert distance(0.8, 0.0, "log", 0.01) == pytest.approx(-math.log(0.2))
    # clamped: c = 0 stands for eps
    assert distance(0.0, 1.0, "log", 0.01) == pytest.approx(-math.log(0.01))
    assert distance(0.0, 0.0, "kl", 0.01) == 0.0


@pytest.mark.parametrize("kind", KINDS)
@given(c=st.floats(0, 1), p=st.floats(0, 1))
def test_worst_distance_is_never_passed_and_is_reached(kind, c, p):
    p = round(p) if kind == "log" else p
    assert distance(c, p, kind, 0.02) <= worst_distance(kind, 0.02) + 1e-12
    assert distance(0.0, 1.0, kind, 0.02) == pytest.approx(worst_distance(kind, 0.02))


def test_targets_by_hand():
    correct = [1.0, 0.0, 1.0, 1.0]
    assert targets(correct, "sample") == correct
    assert targets(correct, "group") == [0.75] * 4
    assert targets(correct, "group_loo") == pytest.approx([2 / 3, 1.0, 2 / 3, 2 / 3])


@pytest.mark.parametrize("kind", ["l2", "log"])
@given(p=st.integers(1, 19))
def test_proper_rules_are_best_at_the_true_probability(kind, p):
    """The expected sample-level reward of confidence c is largest at c = probability of being right."""
    grid, p = [k / 20 for k in range(21)], p / 20
    expected = [-(p * distance(c, 1, kind, 1e-3) + (1 - p) * distance(c, 0, kind, 1e-3)) for c in grid]
    assert grid[expected.index(max(expected))] == p


@pytest.mark.parametrize("kind", ["l1", "l2", "kl"])
@given(p=st.integers(0, 20))
def test_group_rules_are_best_at_the_pass_rate(kind, p):
    grid = [k / 20 for k in range(21)]
    assert min(grid, key=lambda c: distance(c, p / 20, kind, 1e-3)) == p / 20


def test_group_by_hand():
    """Paper's reward: 3 of 4 correct, so the target is 0.75."""
    cfg = RewardConfig(name="corea")
    rows = group_rewards([parsed(0.75), parsed(0.25), parsed(None, False), parsed(1.0, False)], [1, 1, 1, 0], cfg)
    assert rows[0] == {"correct": 1.0, "format": 1.0, "calib": -0.0}
    assert rows[1] == {"correct": 1.0, "format": 1.0, "calib": -0.5}
    assert rows[2] == {"correct": 1.0, "format": 0.0, "calib": -1.0}  # missing: the worst value
    assert rows[3] == {"correct": 0.0, "format": 0.0, "calib": -1.0}  # malformed: likewise
    assert [total_reward(r, cfg) for r in rows] == pytest.approx([1.1, 0.6, 0.0, -1.0])


def test_a_weight_of_zero_keeps_the_component():
    cfg = RewardConfig(name="rlvr", calib=0.0)
    rows = group_rewards([parsed(0.5), parsed(1.0)], [1.0, 0.0], cfg)
    assert [r["calib"] for r in rows] == [0.0, -0.5]
    assert [total_reward(r, cfg) for r in rows] == pytest.approx([1.1, 0.1])


def test_sample_level_l1_is_called_improper():
    assert "proper" in reward_warnings(RewardConfig(name="x", distance="l1", target="sample"))[0]
    assert reward_warnings(RewardConfig(name="x", distance="l1", target="sample", calib=0.0)) == []
    assert reward_warnings(RewardConfig(name="x")) == []


RULES = [("l2", "sample"), ("l2", "group"), ("l2", "group_loo"), ("kl", "sample"), ("log", "sample")]


def expected_reward(c, p, size, cfg):
    """Expected calibration reward of stating c when each of `size` completions is right with probability p.

    Exact: over the number of right answers among the others, and over the own one.
    """
    total = 0.0
    for others in range(size):
        chance = math.comb(size - 1, others) * p**others * (1 - p) ** (size - 1 - others)
        for own, weight in ((1.0, p), (0.0, 1 - p)):
            correct = [own] + [1.0] * others + [0.0] * (size - 1 - others)
            total += chance * weight * group_rewards([parsed(c)] * size, correct, cfg)[0]["calib"]
    return total


@pytest.mark.parametrize(("distance", "target"), RULES)
@settings(max_examples=8, deadline=None)
@given(p=st.integers(1, 19), size=st.integers(2, 5))
def test_the_expected_reward_of_a_proper_rule_is_largest_at_the_true_probability(distance, target, p, size):
    """Group sizes down to 2: it is the mean of the target that counts, not its spread."""
    cfg = RewardConfig(name="x", distance=distance, target=target, eps=1e-4)
    assert reward_warnings(cfg, size) == []
    grid = [k / 20 for k in range(21)]
    rewards = [expected_reward(c, p / 20, size, cfg) for c in grid]
    assert grid[rewards.index(max(rewards))] == p / 20


@pytest.mark.parametrize(("target", "size"), [("sample", 32), ("group", 2), ("group_loo", 8)])
def test_l1_is_best_at_the_median_and_says_so(target, size):
    """A probability of 0.15 of being right: the median share of right answers of few completions is 0."""
    cfg = RewardConfig(name="x", distance="l1", target=target)
    assert "not a proper scoring rule" in reward_warnings(cfg, size)[0]
    if size < 32:
        few = 3
        rewards = [expected_reward(c / 20, 0.15, few, cfg) for c in range(21)]
        assert rewards.index(max(rewards)) == 0
    assert reward_warnings(RewardConfig(name="x"), 16) == []


def test_gating_by_format():
    """Malformed but right, with a confidence that can be read."""
    one = [parsed(0.75, False), parsed(0.5)]
    plain = group_rewards(one, [1.0, 0.0], RewardConfig(name="x"))
    assert plain[0] == {"correct": 1.0, "format": 0.0, "calib": -1.0}
    gated = group_rewards(one, [1.0, 0.0], RewardConfig(name="x", gate_correct=True))
    assert gated[0] == {"correct": 0.0, "format": 0.0, "calib": -1.0}
    assert gated[1] == plain[1] == {"correct": 0.0, "format": 1.0, "calib": -0.0}
    free = group_rewards(one, [1.0, 0.0], RewardConfig(name="x", gate_calib=False))
    assert free[0] == {"correct": 1.0, "format": 0.0, "calib": -0.25}
    missing = group_rewards([parsed(None), parsed(0.5)], [1.0, 0.0], RewardConfig(name="x", gate_calib=False))
    assert missing[0]["calib"] == -1.0


@pytest.mark.parametrize("distance", KINDS)
@pytest.mark.parametrize("target", ["sample", "group", "group_loo"])
def test_every_distance_with_every_target(distance, target):
    """Against the formulas of the documentation, written out once more; log takes sample targets alone."""
    if distance == "log" and target != "sample":
        with pytest.raises(ValueError, match=r"with reward\.distance=log is sample"):
            RewardConfig(name="x", distance=distance, target=target)
        return
    cfg, correct, stated = RewardConfig(name="x", distance=distance, target=target, eps=0.05), [1.0, 1.0, 0.0], 0.7
    for k, row in enumerate(group_rewards([parsed(stated)] * 3, correct, cfg)):
        others = [v for j, v in enumerate(correct) if j != k]
        p = {"sample": correct[k], "group": sum(correct) / 3, "group_loo": sum(others) / 2}[target]
        q = min(max(p, 0.05), 0.95)
        expected = {
            "l1": abs(stated - p),
            "l2": (stated - p) ** 2,
            "kl": q * math.log(q / stated) + (1 - q) * math.log((1 - q) / (1 - stated)),
            "log": -math.log(stated if p else 1 - stated),
        }[distance]
        assert row["calib"] == pytest.approx(-expected)
