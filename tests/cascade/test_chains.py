"""Chains of several tiers, by hand, against a plain loop, and on recorded answers of three models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from answer_tables import config, recorded
from corea.cascade.chains import Stack, chains, measure_tiers, run_chain
from corea.cascade.sweep import EVERYTHING
from corea.evaluation.pipeline import run_evaluation
from corea.report.result_files import write_files


def data(silent: bool = False, n: int = 40, seed: int = 0) -> Stack:
    rng = np.random.default_rng(seed)
    confidence = rng.integers(0, 6, (3, n)) / 5
    confidence[0, 3] = np.nan
    confidence[2] = np.nan
    if silent:
        confidence[1] = np.nan
    return Stack(
        tiers=[0, 1, 2],
        confidence=confidence,
        correct=rng.random((3, n)) < np.array([[0.5], [0.7], [0.9]]),
        cost=np.tile(np.array([[1.0], [3.0], [10.0]]), (1, n)) * rng.random((3, n)),
    )


def loop(d: Stack, i: int, first: float, second: float, silent: bool) -> tuple[bool, float]:
    """One question through tiers 0, 1, 2."""
    cost = d.cost[0, i]
    if d.confidence[0, i] >= first:
        return bool(d.correct[0, i]), cost
    decides = d.confidence[0, i] if silent else d.confidence[1, i]
    if silent and not decides >= second:
        return bool(d.correct[2, i]), cost + d.cost[2, i]
    cost += d.cost[1, i]
    if decides >= second:
        return bool(d.correct[1, i]), cost
    return bool(d.correct[2, i]), cost + d.cost[2, i]


@pytest.mark.parametrize("silent", [False, True])
def test_every_question_goes_the_way_of_a_plain_loop(silent: bool) -> None:
    d = data(silent)
    thresholds = np.array([[0.0, 0.0], [0.6, 0.4], [1.0, 0.2], [EVERYTHING, EVERYTHING]])
    right, cost = run_chain(d, (0, 1, 2), thresholds)
    for m, (first, second) in enumerate(thresholds):
        for i in range(d.correct.shape[1]):
            expected = loop(d, i, first, second, silent)
            assert (bool(right[m, i]), cost[m, i]) == (expected[0], pytest.approx(expected[1]))


def test_chains() -> None:
    assert chains(3) == [(0, 1), (0, 2), (0, 1, 2)]


def test_a_useless_middle_tier_does_not_pay() -> None:
    d = data(n=600)
    d.correct[1] = False  # always wrong and sure of it
    d.confidence[1] = 1.0
    split = np.where(np.arange(600) % 2, "test", "calibration")
    found = measure_tiers(d, split, config(Path("x"), delta=0.02).cascade)
    assert found is not None
    chosen = found.chosen.set_index("chain")
    assert chosen.loc["0-2", "base"]
    assert "does not pay" in found.pays or "cannot be told to pay" in found.pays
    two = found.frontier[found.frontier["chain"] == "0-1"]
    assert (two["calibration_cost"].diff().dropna() >= 0).all() or (two["calibration_accuracy"] <= 1).all()


def test_a_good_middle_tier_pays() -> None:
    d = data(n=2000, seed=1)
    d.confidence[0], d.confidence[1] = d.correct[0].astype(float), d.correct[1].astype(float)
    d.correct[2] = True
    d.cost[2] = 10.0
    split = np.where(np.arange(2000) % 2, "test", "calibration")
    found = measure_tiers(d, split, config(Path("x"), delta=0.0).cascade)
    assert found is not None
    assert found.pays.startswith("The further tier pays: 0-1-2 against 0-2: cost -")
    best = found.chosen.set_index("chain").loc["0-1-2"]
    assert best["accuracy"] == 1.0
    assert best["cost_change_hi"] < 0


def test_three_recorded_models(math500: Path, tmp_path: Path) -> None:
    price = {0: 1e-4, 1: 3e-4, 2: 6e-4}
    names = ("slm_rlcr", "llm_qwen2.5_14b_instruct", "llm_gemma_2_27b_it")
    parts = [recorded(math500, n).assign(tier=t, model=n, cost_usd=price[t]) for t, n in enumerate(names)]
    pd.concat(parts).to_parquet(tmp_path / "answers.parquet", index=False)
    results = run_evaluation(config(tmp_path / "answers.parquet", split_fraction=0.5))
    found = results.tiers["all"]
    assert set(found.frontier["chain"]) == {"0-1", "0-2", "0-1-2"}
    # the 27B model is the weakest of the two large ones, so a chain that ends in it never reaches the 14B's accuracy
    assert "0-2" not in set(found.chosen["chain"])
    assert "does not pay" in found.pays or "cannot be told to pay" in found.pays
    write_files(results, tmp_path)
    assert len(pd.read_csv(tmp_path / "tiers.csv")) == len(found.frontier)
    chain = json.loads((tmp_path / "operating_point.json").read_text())["tiers"]["all"]
    assert chain["chain"][0] == 0
    assert len(chain["thresholds"]) == len(chain["chain"]) - 1
