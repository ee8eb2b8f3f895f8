"""Intervals of a cascade: what they include, against a plain bootstrap that reruns the rule question by question."""

from __future__ import annotations

import numpy as np
import pytest

from answer_tables import make_pairs
from corea.answers.pairs import Pairs
from corea.config import CascadeConfig
from corea.evaluation.dataset import evaluate_dataset

RULES = ["llm_accuracy", "max_drop", "budget"]


def answered(n: int, seed: int, steps: int = 10) -> Pairs:
    """Right as often as the confidence says; the LLM in 90 %, at ten times the cost, more for hard questions."""
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(n) * steps) / steps
    hard = rng.gamma(4.0, 0.25, n)
    return make_pairs(confidence, rng.random(n) < confidence, rng.random(n) < 0.9, hard, 10 * hard)


def chosen(rule: str, pairs: Pairs, cfg: CascadeConfig) -> float:
    """The rule from its definition, by trying every threshold; max_drop by the point estimate."""
    llm, cost_of = pairs.llm_correct.mean(), pairs.llm_cost.mean()
    if rule == "llm_accuracy":
        return float(llm)
    best = (np.inf, np.inf, np.nan)
    for threshold in [*np.unique(pairs.confidence), 0.0, 1.01]:
        kept = pairs.confidence >= threshold
        accuracy = np.where(kept, pairs.slm_correct, pairs.llm_correct).mean()
        cost = pairs.slm_cost.mean() + np.where(kept, 0, pairs.llm_cost).mean()
        if rule == "max_drop" and accuracy >= llm - cfg.delta - 1e-12:
            best = min(best, (cost, -accuracy, threshold))
        if rule == "budget" and cost <= cfg.budget * cost_of * (1 + 1e-12):
            best = min(best, (-accuracy, cost, threshold))
    return best[2]


def plain(rule: str, known: Pairs, test: Pairs, cfg: CascadeConfig, both: bool, resamples: int) -> np.ndarray:
    """[R, 2] accuracy change and relative cost change."""
    rng, rows = np.random.default_rng(99), []
    fixed = chosen(rule, known, cfg)
    for _ in range(resamples):
        part = known.where(rng.integers(0, len(known), len(known)))
        here = test.where(rng.integers(0, len(test), len(test)))
        kept = here.confidence >= (chosen(rule, part, cfg) if both else fixed)
        accuracy = np.where(kept, here.slm_correct, here.llm_correct).mean() - here.llm_correct.mean()
        cost = here.slm_cost.mean() + np.where(kept, 0, here.llm_cost).mean()
        rows.append((accuracy, cost / here.llm_cost.mean() - 1))
    return np.array(rows)


@pytest.mark.parametrize("intervals", ["both", "test"])
@pytest.mark.parametrize("rule", RULES)
def test_intervals_are_those_of_a_plain_bootstrap(rule: str, intervals: str) -> None:
    known, test = answered(150, 1, 40), answered(400, 2, 40)
    cfg = CascadeConfig(
        name="t", rule=rule, delta=0.05, confidence=None, intervals=intervals, resamples=2000, compare=False
    )
    point = evaluate_dataset("d", test, known, None, cfg).point(rule)
    assert point.choice.threshold == pytest.approx(chosen(rule, known, cfg))
    draws = plain(rule, known, test, cfg, intervals == "both", 1500)
    for column, name in enumerate(("accuracy_change", "cost_change")):
        low, high = np.quantile(draws[:, column], [0.025, 0.975])
        figure, width = point.figures[name], high - low
        assert figure.low == pytest.approx(min(low, figure.value), abs=0.12 * width), name
        assert figure.high == pytest.approx(max(high, figure.value), abs=0.12 * width), name


def test_the_choice_of_the_threshold_widens_the_interval() -> None:
    known, test = answered(150, 1, 1000), answered(2000, 2, 1000)
    widths = {}
    for intervals in ("test", "both"):
        cfg = CascadeConfig(name="t", delta=0.05, confidence=None, intervals=intervals, resamples=500, compare=False)
        figure = evaluate_dataset("d", test, known, None, cfg).point("max_drop").figures["cost_change"]
        widths[intervals] = figure.high - figure.low
    assert widths["both"] > 2 * widths["test"]


def test_resamples_without_a_threshold_count_as_the_llm_alone() -> None:
    # 30 of 1,200 kept answers are lost: near the limit that a promise of 4 % at 0.9 allows, so many resamples fail
    n = 1200
    right = np.arange(n) % 40 != 0
    pairs = make_pairs(np.full(n, 0.9), right, np.ones(n, bool))
    cfg = CascadeConfig(name="t", delta=0.033, resamples=400, compare=False)
    point = evaluate_dataset("d", pairs, pairs, None, cfg).point("max_drop")
    assert point.choice.threshold == 0.0
    assert 0.1 < point.not_found < 0.6
    assert point.figures["deferral_rate"].value == 0.0
    assert point.figures["deferral_rate"].high == 1.0
    assert point.figures["cost_change"].value == pytest.approx(-0.9)  # the SLM costs 1, the LLM 10
    assert point.figures["cost_change"].high == pytest.approx(0.0)
    fixed = evaluate_dataset("d", pairs, pairs, None, cfg).point("fixed")
    assert fixed.not_found == 0.0
