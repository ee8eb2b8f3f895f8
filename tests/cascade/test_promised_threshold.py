"""Promises on new questions: questions drawn again and again, and cases that can be checked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from answer_tables import questions, rule_config
from corea.cascade.promised_threshold import Promise, thresholds_that_hold, why_none
from corea.cascade.rules import choose
from corea.metrics.bootstrap import resample
from corea.metrics.cascade_curve import curve
from corea.metrics.levels import Levels

STATED = np.arange(11) / 10
RIGHT = 0.15 + 0.8 * STATED
"""The SLM's true accuracy at each confidence; the LLM is right in 90 %, independently."""


def drawn(n: int, rng: np.random.Generator) -> Levels:
    level = rng.integers(0, 11, n)
    return questions(STATED[level], rng.random(n) < RIGHT[level], rng.random(n) < 0.9)


def held(levels: Levels, promise: Promise, grid: Sequence[float] = ()) -> float | None:
    threshold = float(thresholds_that_hold(levels, levels.observed, promise, list(grid)))
    return None if np.isnan(threshold) else threshold


def truth(threshold: float) -> tuple[float, float]:
    """True loss against the LLM, gains included, and true accuracy of kept answers."""
    kept = threshold <= STATED
    return float((kept * (0.9 - RIGHT)).mean()), float(RIGHT[kept].mean())


@pytest.mark.parametrize("grid", [STATED, []])
@pytest.mark.parametrize(("of", "target"), [("net", 0.02), ("loss", 0.08), ("kept_accuracy", 0.8)])
def test_the_promise_is_broken_at_most_as_often_as_alpha_allows(of: str, target: float, grid: list[float]) -> None:
    alpha, draws = 0.1, 500
    rng = np.random.default_rng(7)
    broken = found = 0
    for _ in range(draws):
        threshold = held(drawn(400, rng), Promise(of=of, target=target, alpha=alpha), grid)
        if threshold is None:
            continue
        found += 1
        loss, kept = truth(threshold)
        broken += kept < target if of == "kept_accuracy" else loss > target
    assert found > draws / 2, "a rule that never finds a threshold keeps every promise"
    assert broken <= alpha * draws


def test_too_few_questions_say_how_many_more() -> None:
    few = questions(np.full(50, 0.9), np.ones(50), np.ones(50))
    promise = Promise(of="loss", target=0.02, alpha=0.1)
    assert held(few, promise) is None
    # without a loss among n questions the p-value is 0.98^n: 114 questions bring it below 0.1
    assert "you need about 64 more calibration questions" in why_none(few, promise, [])
    enough = questions(np.full(114, 0.9), np.ones(114), np.ones(114))
    assert held(enough, promise) == 0.0


def test_hopeless_says_so() -> None:
    wrong = questions(np.full(500, 0.9), np.zeros(500), np.ones(500))
    for of, target in (("loss", 0.02), ("net", 0.02), ("kept_accuracy", 0.9)):
        promise = Promise(of=of, target=target, alpha=0.1)
        assert held(wrong, promise) is None
        assert "more questions would not help" in why_none(wrong, promise, [])


def test_missing_confidences_are_never_kept() -> None:
    confidence = np.concatenate([np.full(300, 0.9), np.full(300, np.nan)])
    right = np.concatenate([np.ones(300), np.zeros(300)])
    levels = questions(confidence, right, np.ones(600))
    assert held(levels, Promise(of="kept_accuracy", target=0.95, alpha=0.1)) == 0.0


def test_a_grid_gives_the_lowest_of_its_thresholds_that_hold() -> None:
    # below 0.5 only the LLM is right; at 0.5 and above both are
    confidence = np.repeat([0.2, 0.4, 0.6, 0.8], 100)
    levels = questions(confidence, confidence > 0.5, np.ones(400))
    promise = Promise(of="net", target=0.05, alpha=0.1)
    assert held(levels, promise) == 0.6
    assert held(levels, promise, [0.1, 0.45, 0.55, 0.7]) == 0.45
    assert held(levels, promise, [0.3, 0.9]) is None  # 0.3 keeps what the LLM alone gets right; 0.9 keeps nothing


def test_resamples_are_decided_as_the_questions_themselves_would_be() -> None:
    levels = drawn(300, np.random.default_rng(3))
    again = resample(levels, 50, 11)
    promise = Promise(of="net", target=0.1, alpha=0.1)
    together = thresholds_that_hold(levels, again, promise, [])
    each = []
    for r in range(50):
        level, outcome = np.nonzero(again.count[r])
        times = again.count[r][level, outcome]
        one = questions(
            np.repeat(levels.value[level], times), np.repeat(outcome >= 2, times), np.repeat(outcome % 2, times)
        )
        each.append(held(one, promise))
    assert np.array_equal(together, np.array(each, np.float64), equal_nan=True)
    assert len(set(each)) > 2


def test_budget_by_hand() -> None:
    # deferring 0, 1, ..., 4 of the four questions costs 1, 3.5, 6, 8.5, 11 and gets 1, 2, 3, 4, 4 right
    levels = questions(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 0, 1]), np.ones(4))
    assert curve(levels.observed).cost.tolist() == [1, 3.5, 6, 8.5, 11]
    assert choose("budget", levels, rule_config("budget", budget=0.6)).threshold == 0.3
    assert choose("budget", levels, rule_config("budget", budget_usd=3500.0)).threshold == 0.2
    none = choose("budget", levels, rule_config("budget", budget=0.05))
    assert none.threshold is None
    assert none.note == "the cheapest threshold costs 0.100 of the LLM alone"


def test_the_rule_says_what_it_promises() -> None:
    levels = drawn(2000, np.random.default_rng(0))
    choice = choose("guarantee", levels, rule_config("guarantee", delta=0.05))
    assert choice.threshold is not None
    assert choice.parameters == {"delta": 0.05, "alpha": 0.1}
    assert "with probability 0.9" in choice.guarantee
    with pytest.raises(ValueError, match=r"cascade.delta=0"):
        rule_config("guarantee", delta=0.0)
