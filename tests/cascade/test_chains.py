"""Chains of tiers: walked by hand, searched against brute force, and on recorded answers of five models."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corea.answers.table import read_answers
from corea.cascade.chain_search import CELLS, FINE, ladder, search
from corea.cascade.chains import Chain, Stack, answering, chains, run_chain, stack
from corea.cascade.decision import EVERYTHING


def data(silent: bool = False, n: int = 40, seed: int = 0, tiers: int = 3, levels: int = 6) -> Stack:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, levels, (tiers, n)) / (levels - 1)
    confidence[0, 3] = np.nan
    confidence[-1] = np.nan
    if silent:
        confidence[1] = np.nan
    right = np.linspace(0.5, 0.9, tiers)[:, None]
    cost = np.geomspace(1, 10, tiers)[:, None] * rng.random((tiers, n))
    return Stack(
        tiers=list(range(tiers)),
        confidence=confidence,
        correct=rng.random((tiers, n)) < right,
        cost=cost,
        signal_cost=1.5 * cost,
    )


def walk(d: Stack, chain: Chain, thresholds: tuple[float, ...], i: int) -> tuple[bool, float]:
    """Question i on its way through a chain, in plain words."""
    cost, stated = 0.0, np.nan
    for tier, threshold in zip(chain, thresholds, strict=False):
        speaks = not np.isnan(d.confidence[tier]).all()
        if speaks:
            cost += d.signal_cost[tier, i]
            stated = d.confidence[tier, i]
        if stated >= threshold:
            return bool(d.correct[tier, i]), cost + (0.0 if speaks else d.cost[tier, i])
    return bool(d.correct[chain[-1], i]), cost + d.cost[chain[-1], i]


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("chain", [(0, 1, 2), (0, 2), (0, 1)])
def test_every_question_goes_the_way_of_a_plain_loop(chain: Chain, silent: bool) -> None:
    d = data(silent)
    thresholds = np.array([[0.0, 0.0], [0.6, 0.4], [1.0, 0.2], [EVERYTHING, EVERYTHING]])[:, : len(chain) - 1]
    right, cost = run_chain(d, chain, thresholds, d.silent)
    for m, row in enumerate(thresholds):
        for i in range(len(d)):
            expected = walk(d, chain, tuple(row), i)
            assert (bool(right[m, i]), cost[m, i]) == (expected[0], pytest.approx(expected[1]))


def test_three_questions_by_hand() -> None:
    d = Stack(
        tiers=[0, 1, 2],
        confidence=np.array([[0.9, 0.4, np.nan], [0.1, 0.8, 0.3], [np.nan] * 3]),
        correct=np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool),
        cost=np.array([[1.0] * 3, [10.0] * 3, [100.0] * 3]),
        signal_cost=np.array([[2.0] * 3, [20.0] * 3, [100.0] * 3]),
    )
    thresholds = np.array([[0.5, 0.5]])
    assert answering(d, (0, 1, 2), thresholds, d.silent).tolist() == [[0, 1, 2]]
    right, cost = run_chain(d, (0, 1, 2), thresholds, d.silent)
    assert right.tolist() == [[True, True, True]]
    assert cost.tolist() == [
        [2.0, 22.0, 122.0]
    ]  # a tier that decides is paid with its confidence, the last one without
    assert run_chain(d, (1,), np.zeros((1, 0)), d.silent)[1].tolist() == [[10.0] * 3]


def test_chains_start_at_any_tier_that_states_confidences() -> None:
    assert chains(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert chains(3, np.array([False, True, True])) == [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)]


def brute_force(d: Stack, chain: Chain) -> list[tuple[float, float]]:
    """Undominated (cost, accuracy) over all combinations of all confidences and both ends."""
    deciding = [d.confidence[0] if np.isnan(d.confidence[t]).all() else d.confidence[t] for t in chain[:-1]]
    grids = [[0.0, *sorted({v for v in c if v == v}), EVERYTHING] for c in deciding]
    points = set()
    for thresholds in itertools.product(*grids):
        outcomes = [walk(d, chain, thresholds, i) for i in range(len(d))]
        points.add((round(sum(c for _, c in outcomes) / len(d), 9), sum(r for r, _ in outcomes) / len(d)))
    best: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or accuracy > best[-1][1]:
            best.append((cost, accuracy))
    return best


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("chain", [(0, 3), (1, 2), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3)])
def test_the_search_finds_the_frontier_of_all_combinations(chain: Chain, silent: bool) -> None:
    d = data(silent, n=60, seed=3, tiers=4)
    if silent and chain[0] == 1:
        return
    found = search(d, chain, d.silent)
    assert list(zip(found.cost.round(9), found.accuracy, strict=True)) == [
        (pytest.approx(c), pytest.approx(a)) for c, a in brute_force(d, chain)
    ]


def test_what_the_search_says_of_a_point_is_what_the_questions_give() -> None:
    d = data(n=500, seed=4, tiers=5, levels=400)
    for chain in ((1, 4), (0, 2, 4), (0, 1, 2, 3, 4)):
        found = search(d, chain, d.silent)
        right, cost = run_chain(d, chain, found.thresholds, d.silent)
        assert found.accuracy == pytest.approx(right.mean(1))
        assert found.cost == pytest.approx(cost.mean(1))
        assert (np.diff(found.cost) > 0).all()
        assert (np.diff(found.accuracy) > 0).all()


def test_coordinate_descent_improves_on_a_coarse_grid() -> None:
    d = data(n=800, seed=5, tiers=5, levels=800)
    chain = (0, 1, 2, 3, 4)
    steps = [ladder(c, int(CELLS ** (1 / 4))).thresholds for c in d.confidence[:4]]
    assert max(map(len, steps)) <= 16 < FINE
    grid = np.array(list(itertools.product(*(s[::3] for s in steps))))
    right, cost = run_chain(d, chain, grid, d.silent)
    found = search(d, chain, d.silent)
    for accuracy, price in zip(right.mean(1), cost.mean(1), strict=True):
        assert ((found.accuracy >= accuracy - 1e-12) & (found.cost <= price + 1e-9)).any()
    assert len({tuple(t) for t in found.thresholds} - {tuple(t) for t in itertools.product(*steps)}) > 10


def test_candidates_do_not_look_at_verdicts_and_keep_both_ends() -> None:
    confidence = np.array([np.nan, 0.5, 0.2, 0.2, 0.9])
    steps = ladder(confidence, 100)
    assert steps.thresholds.tolist() == [0.0, 0.5, 0.9, EVERYTHING]
    assert steps.level.tolist() == [0, 2, 1, 1, 3]
    many = ladder(np.arange(1000) / 1000, 10)
    assert len(many.thresholds) <= 10
    assert many.thresholds[[0, -1]].tolist() == [0.0, EVERYTHING]
    assert ladder(confidence, 100, [0.7, 0.3]).thresholds.tolist() == [0.3, 0.7]
    assert ladder(np.full(3, np.nan), 100).thresholds.tolist() == [0.0, EVERYTHING]


@pytest.mark.parametrize("grid", [[0.3], [0.2, 0.5, 0.8]])
def test_a_grid_of_the_user_is_kept(grid: list[float]) -> None:
    d = data(n=300, seed=6, tiers=4, levels=100)
    for chain in ((0, 3), (0, 1, 2, 3)):
        assert set(search(d, chain, d.silent, grid).thresholds.ravel()) <= set(grid)


def test_under_vote_every_tier_that_decides_pays_for_all_its_samples(tmp_path: Path) -> None:
    rows = []
    for question, tier, sample in itertools.product("ab", range(3), range(4)):
        if tier < 2 or sample == 0:
            row = {"question_id": question, "tier": tier, "sample": sample, "correct": True, "cost_usd": 10.0**tier}
            rows.append(row | {"confidence_vote": 0.5 if tier < 2 else None})
    pd.DataFrame(rows).to_parquet(tmp_path / "answers.parquet")
    found, questions = stack(read_answers(tmp_path / "answers.parquet"), "vote", "all")
    assert list(questions.question_id) == ["a", "b"]
    assert found.cost.tolist() == [[1.0, 1.0], [10.0, 10.0], [100.0, 100.0]]
    assert found.signal_cost.tolist() == [[4.0, 4.0], [40.0, 40.0], [100.0, 100.0]]
    assert run_chain(found, (0, 1, 2), np.array([[0.9, 0.9]]), found.silent)[1].tolist() == [[144.0, 144.0]]
    assert run_chain(found, (0, 1), np.array([[0.9]]), found.silent)[1].tolist() == [[14.0, 14.0]]
    assert stack(read_answers(tmp_path / "answers.parquet"), "vote", "all", large=1)[0].tiers == [0, 1]
