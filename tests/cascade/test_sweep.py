"""Sweep, areas, oracle and rules on five questions, by hand, and against a plain loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answer_tables import make_pairs
from corea.answers.pairs import Pairs, pair
from corea.answers.table import read_answers
from corea.cascade.rules import choose
from corea.cascade.sweep import depth_of, sweep, thresholds_of
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.bootstrap import resample
from corea.metrics.cascade_curve import curve, oracle, pareto
from corea.metrics.cascade_figures import areas
from corea.metrics.levels import coarsen, group


@pytest.fixture
def five(hand_table: Path) -> Pairs:
    return pair(read_answers(hand_table), "verbalized")


def test_sweep_by_hand(five: Pairs) -> None:
    levels = group(five)
    table = sweep(levels, levels, None, 0.95, [])
    # e has no confidence and is deferred even at 0; then d (0.3), then b and c (0.8), then a (0.9)
    assert table["threshold"].tolist() == [0.0, 0.3, 0.8, 0.9, 1.01]
    assert table["deferral_rate"].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.8, 1.0])
    assert table["accuracy"].tolist() == pytest.approx([0.4, 0.4, 0.6, 0.6, 0.6])
    assert table["cost"].tolist() == pytest.approx([3, 3, 5, 9, 11])
    assert table["selective_accuracy"].tolist()[:4] == pytest.approx([2 / 4, 2 / 4, 2 / 3, 1.0])
    assert np.isnan(table["selective_accuracy"].iloc[-1])
    assert table["on_frontier"].tolist() == [True, True, True, False, False]


def test_a_grid_replaces_the_observed_thresholds(five: Pairs) -> None:
    levels = group(five)
    table = sweep(levels, levels, None, 0.95, [0.85, 0.5])
    assert table["threshold"].tolist() == [0.5, 0.85]
    assert table["deferral_rate"].tolist() == pytest.approx([0.4, 0.8])


def test_areas_by_hand(five: Pairs) -> None:
    found = areas(group(five).observed, curve(group(five).observed))
    # through (0, .4) (.2, .4) (.4, .6) (.8, .6) (1, .6); oracle: b, d gain, c loses
    assert found["area"] == pytest.approx(0.08 + 0.1 + 0.24 + 0.12)
    assert found["area_random"] == pytest.approx(0.5)
    assert found["area_oracle"] == pytest.approx(0.4 + 0.4 - 0.08 - 0.02)
    assert found["area_gain"] == pytest.approx((0.54 - 0.5) / (0.7 - 0.5))


def test_oracle_by_hand(five: Pairs) -> None:
    five.llm_cost = np.array([1.0, 30.0, 1.0, 20.0, 5.0])
    line = oracle(group(five))
    # cheapest gain first (d, then b), then the questions that change nothing (a, e), then the loss (c)
    assert line["accuracy"].tolist() == pytest.approx([0.4, 0.6, 0.8, 0.8, 0.8, 0.6])
    assert (line["cost"] * 5).tolist() == pytest.approx([5, 25, 55, 56, 61, 62])


def test_pareto_by_hand() -> None:
    cost = np.array([1.0, 2.0, 2.0, 3.0, 3.0, 0.5])
    accuracy = np.array([0.5, 0.7, 0.6, 0.7, 0.9, 0.5])
    assert pareto(cost, accuracy).tolist() == [False, True, False, False, True, True]
    assert pareto(np.array([1.0, 1.0]), np.array([0.5, 0.5])).tolist() == [True, True]


questions = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 10).map(lambda k: k / 10)),
        st.booleans(),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 50),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(questions)
def test_sweep_against_a_plain_loop(rows) -> None:
    pairs = make_pairs(*(list(column) for column in zip(*rows, strict=True)))
    levels = group(pairs)
    table = sweep(levels, levels, None, 0.95, [])
    points = []
    for row in table.itertuples():
        sent = [c is None or c < row.threshold for c, *_ in rows]
        right = sum((llm if s else slm) for s, (_, slm, llm, *_) in zip(sent, rows, strict=True))
        cost = sum(small + (large if s else 0) for s, (*_, small, large) in zip(sent, rows, strict=True))
        assert row.deferral_rate == pytest.approx(sum(sent) / len(rows))
        assert row.accuracy == pytest.approx(right / len(rows))
        assert row.cost == pytest.approx(cost / len(rows))
        points.append((cost, right))
    for (cost, right), on in zip(points, table["on_frontier"], strict=True):
        beaten = any((c <= cost and r >= right) and (c < cost or r > right) for c, r in points)
        assert on == (not beaten)


def test_coarse_levels_keep_edges_missing_and_totals() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(5000)
    confidence[:40] = np.nan
    pairs = make_pairs(confidence, rng.random(5000) < 0.5, rng.random(5000) < 0.9, llm_cost=rng.random(5000))
    fine = group(pairs)
    coarse = coarsen(fine, most=100, edges=np.array([0.1, 0.5, 0.77]))
    assert 100 <= len(coarse.value) < 110
    assert coarse.observed.size[0] == 40
    for threshold in (0.0, 0.1, 0.5, 0.77, 1.01):
        exact = curve(fine.observed).at(int(depth_of(fine, threshold)))
        same = curve(coarse.observed).at(int(depth_of(coarse, threshold)))
        assert same.accuracy == pytest.approx(exact.accuracy)
        assert same.cost == pytest.approx(exact.cost)
        assert same.deferral_rate == pytest.approx(exact.deferral_rate)


def test_bands_hold_the_curve_with_few_and_with_many_confidences() -> None:
    rng = np.random.default_rng(0)
    for digits in (1, 6):
        confidence = np.round(rng.random(4000), digits)
        levels = group(make_pairs(confidence, rng.random(4000) < confidence, rng.random(4000) < 0.9))
        coarse = coarsen(levels)
        table = sweep(levels, coarse, resample(coarse, 200, 0), 0.95, [])
        for name, low, high in (("accuracy", "accuracy_lo", "accuracy_hi"), ("cost", "cost_lo", "cost_hi")):
            assert (table[low] <= table[name] + 1e-9).all()
            assert (table[name] <= table[high] + 1e-9).all()
            width = (table[high] - table[low]).iloc[len(table) // 2]
            assert 0.01 < width < 0.5


def test_rules_by_hand(five: Pairs) -> None:
    levels = group(five)
    assert choose("fixed", None, CascadeConfig(name="t", threshold=0.7)).threshold == 0.7
    assert choose("llm_accuracy", levels, CascadeConfig(name="t")).threshold == 0.6
    # 0.8 is the cheapest that reaches the LLM's 0.6; with a loss of 0.2 allowed, 0 and 0.3 cost the same
    assert choose("max_drop", levels, CascadeConfig(name="t", delta=0.0, confidence=None)).threshold == 0.8
    assert choose("max_drop", levels, CascadeConfig(name="t", delta=0.2, confidence=None)).threshold == 0.0
    none = choose("max_drop", levels, CascadeConfig(name="t", delta=0.0, thresholds=[0.1]))
    assert none.threshold is None
    assert "0.4000 of the 0.6000" in none.note
    assert "split_fraction" in choose("max_drop", None, CascadeConfig(name="t")).note


def test_thresholds_reach_both_ends() -> None:
    levels = group(make_pairs([0.0, 1.0, 1.0], [1, 1, 0], [1, 1, 1]))
    assert thresholds_of(levels).tolist() == [0.0, 1.0, 1.01]
    assert curve(levels.observed).at(depth_of(levels, thresholds_of(levels))).deferral_rate.tolist() == [0, 1 / 3, 1]
