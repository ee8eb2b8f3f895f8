"""The promise of the rule guarantee, on questions drawn again and again, and on cases that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from answer_tables import questions, rule_config
from corea.cascade.guarantee import guaranteed
from corea.cascade.rules import choose
from corea.metrics.cascade_curve import curve
from corea.metrics.levels import Levels

STATED = np.arange(11) / 10
RIGHT = 0.15 + 0.8 * STATED
"""The SLM's true accuracy at each confidence; the LLM is right in 90 %, independently."""


def drawn(n: int, rng: np.random.Generator) -> Levels:
    level = rng.integers(0, 11, n)
    return questions(STATED[level], rng.random(n) < RIGHT[level], rng.random(n) < 0.9)


def truth(threshold: float) -> tuple[float, float]:
    """True loss against the LLM, gains included, and true accuracy of kept answers."""
    kept = threshold <= STATED
    return float((kept * (0.9 - RIGHT)).mean()), float(RIGHT[kept].mean())


@pytest.mark.parametrize(("of", "target"), [("loss", 0.08), ("kept_accuracy", 0.8)])
def test_the_promise_is_broken_at_most_as_often_as_alpha_allows(of: str, target: float) -> None:
    alpha, draws = 0.1, 500
    rng = np.random.default_rng(7)
    broken = found = 0
    for _ in range(draws):
        threshold = guaranteed(drawn(400, rng), of, target, alpha, STATED).threshold
        if threshold is None:
            continue
        found += 1
        loss, kept = truth(threshold)
        broken += loss > target if of == "loss" else kept < target
    assert found > draws / 2, "a rule that never finds a threshold keeps every promise"
    assert broken <= alpha * draws


def test_too_few_questions_say_how_many_more() -> None:
    few = questions(np.full(50, 0.9), np.ones(50), np.ones(50))
    promise = guaranteed(few, "loss", 0.02, 0.1)
    assert promise.threshold is None
    # without a loss among n questions the p-value is 0.98^n: 114 questions bring it below 0.1
    assert "you need about 64 more calibration questions" in promise.note
    enough = questions(np.full(114, 0.9), np.ones(114), np.ones(114))
    assert guaranteed(enough, "loss", 0.02, 0.1).threshold == 0.0


def test_hopeless_says_so() -> None:
    wrong = questions(np.full(500, 0.9), np.zeros(500), np.ones(500))
    for of, target in (("loss", 0.02), ("kept_accuracy", 0.9)):
        promise = guaranteed(wrong, of, target, 0.1)
        assert promise.threshold is None
        assert "more questions would not help" in promise.note


def test_missing_confidences_are_never_kept() -> None:
    confidence = np.concatenate([np.full(300, 0.9), np.full(300, np.nan)])
    right = np.concatenate([np.ones(300), np.zeros(300)])
    assert guaranteed(questions(confidence, right, np.ones(600)), "kept_accuracy", 0.95, 0.1).threshold == 0.0


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
