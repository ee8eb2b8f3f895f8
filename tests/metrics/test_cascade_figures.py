"""Summary figures of other papers and price ratios, on tables small enough for pencil and paper."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from answer_tables import questions, rule_config
from corea.answers.pairs import Pairs
from corea.answers.table import read_answers
from corea.config.price_schema import PriceConfig
from corea.evaluation.dataset import evaluate_dataset
from corea.evaluation.price_sensitivity import price_ratio, priced, sensitivity, sentence
from corea.metrics.cascade_curve import curve
from corea.metrics.cascade_figures import first_reach, hull_mean, ibc_lift, peer_figures
from corea.metrics.levels import coarsen, group
from corea.prices import cost_usd

CONFIDENCE = np.array([0.1, 0.2, 0.3, 0.4])
SLM, LLM = np.array([0, 0, 1, 1]), np.ones(4)
"""Deferring 0, 1, ..., 4 gets 2, 3, 4, 4, 4 of 4 right and costs 1, 3.5, 6, 8.5, 11."""


def test_apgr_cpt_aiq_ibc_by_hand() -> None:
    tally = questions(CONFIDENCE, SLM, LLM).observed
    # gap recovered 0, .5, 1, 1, 1 at shares 0, .25, .5, .75, 1: trapezoids .0625 + .1875 + .25 + .25
    figures = peer_figures(curve(tally))
    assert figures["apgr"] == pytest.approx(0.75)
    assert figures["cpt_50"] == pytest.approx(0.25)
    assert figures["cpt_80"] == pytest.approx(0.40)
    # hull from (1, .5) straight to (6, 1), then level to 11: (5 * .75 + 5 * 1) / 10
    assert figures["aiq"] == pytest.approx(0.875)
    # two deferred: (1 - .5) / (6 - 1) per cost against (1 - .5) / (10 - 1)
    assert ibc_lift(curve(tally).at(2)) == pytest.approx(9 / 5 - 1)


def test_hull_is_concave_and_never_falls() -> None:
    cost, accuracy = np.array([0.0, 1, 2, 3, 4]), np.array([0.2, 0.2, 0.8, 0.7, 0.6])
    assert hull_mean(cost, accuracy) == pytest.approx((2 * 0.5 + 2 * 0.8) / 4)
    assert hull_mean(cost, accuracy[::-1]) == pytest.approx((2 * 0.7 + 2 * 0.8) / 4)
    both = hull_mean(np.stack([cost, cost]), np.stack([accuracy, accuracy[::-1]]))
    assert both == pytest.approx([0.65, 0.75])
    assert np.isnan(hull_mean(np.array([1.0, 1.0]), np.array([0.0, 1.0])))


def test_a_level_that_is_never_reached() -> None:
    x, y = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 0.4], [0.0, 1.0]])
    assert first_reach(x, y, 0.5) == pytest.approx([np.nan, 0.5], nan_ok=True)


def pairs(slm_cost: float) -> Pairs:
    blank = np.full(4, "", object)
    return Pairs(
        dataset=blank, question_id=np.arange(4).astype(str), split=blank, confidence=CONFIDENCE, status=blank,
        slm_correct=SLM == 1, llm_correct=LLM == 1, slm_cost=np.full(4, slm_cost), llm_cost=np.full(4, 10.0),
        unit="usd",
    )  # fmt: skip


def test_break_even_ratio() -> None:
    e = evaluate_dataset("d", pairs(4.0), None, None, rule_config("fixed", threshold=0.3, resamples=20))
    point = e.point("fixed")
    # half of the questions go to the LLM: 4 + 5 against 10; the cascade pays where an LLM answer costs 2 SLM answers
    assert point.figures["cost_change"].value == pytest.approx(-0.1)
    assert point.figures["break_even_ratio"].value == pytest.approx(2.0)
    assert price_ratio(e) == pytest.approx(2.5)
    table = sensitivity(e, point).set_index("ratio")["cost_change"]
    assert table[2.0] == pytest.approx(0.0)
    assert table[2.5] == pytest.approx(point.figures["cost_change"].value)
    assert table[10.0] == pytest.approx(-0.4)
    assert "more than 2 times" in sentence(e, point)
    dear = evaluate_dataset("d", pairs(6.0), None, None, rule_config("fixed", threshold=0.3, resamples=20))
    assert dear.point("fixed").costs_more
    assert coarsen(group(pairs(6.0))).observed.llm_cost.sum() == 40


def test_gpu_hours() -> None:
    # 2 GPUs at $1.80 an hour make 1,000 tokens a second: $0.001 a second, $1 per million tokens
    price = PriceConfig(gpu_hour=1.8, gpus=2, tokens_per_s=1000)
    assert cost_usd(price, 500, 0, 1_000_000) == pytest.approx(1.0)
    with pytest.raises(ValueError, match=r"price.gpu_hour=1.8: allowed is given together with price.tokens_per_s"):
        PriceConfig(gpu_hour=1.8)


def test_retries_are_paid(tmp_path: Path) -> None:
    """Tier 1 took 100 + 50 prompt tokens and 10 + 5 completion tokens at $2 and $4 per million."""
    rows = [
        {"question_id": "a", "tier": 0, "correct": 1, "confidence": 0.5, "prompt_tokens": 100, "completion_tokens": 10},
        {"question_id": "a", "tier": 1, "correct": 1, "prompt_tokens": 100, "completion_tokens": 10,
         "retry_prompt_tokens": 50, "retry_completion_tokens": 5},
    ]  # fmt: skip
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    prices = [PriceConfig(input=1.0, output=1.0), PriceConfig(input=2.0, output=4.0)]
    costs = priced(read_answers(path), prices).frame["cost_usd"]
    assert costs.tolist() == pytest.approx([110e-6, (150 * 2 + 15 * 4) * 1e-6])
