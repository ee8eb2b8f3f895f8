"""Which chain each rule chooses: by hand, on simulated tiers, and on recorded answers of five models."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corea.cascade.chain_choice import choose_chain, reference_tier
from corea.cascade.chain_results import BestChain, TierResults, measure_tiers
from corea.cascade.chain_search import search
from corea.cascade.chains import Stack, chains, run_chain
from corea.config.cascade_schema import CascadeConfig

SHARED = Path(os.environ.get("COREA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
RECORDED = SHARED / "recorded_cascades" / "mmlu_llama_5_tiers.parquet"


def chosen(d: Stack, rule: str = "max_drop", **more: float | str | None) -> tuple[str, list[float]]:
    """Chain and thresholds that a rule takes on the questions of `d`."""
    cfg = CascadeConfig(name="test", rule=rule, **more)
    found = [search(d, c, d.silent) for c in chains(len(d.tiers), d.silent)]
    choice = choose_chain(rule, d, found, d.silent, cfg)
    return "-".join(map(str, choice.chain or ())), list(choice.thresholds)


def halves(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2, "test", "calibration")


def tiers(confidence: np.ndarray, correct: np.ndarray, cost: list[float]) -> Stack:
    costs = np.tile(np.array(cost)[:, None], (1, correct.shape[1]))
    return Stack(tiers=list(range(len(cost))), confidence=confidence, correct=correct, cost=costs, signal_cost=costs)


def simulated(n: int, seed: int, useful: tuple[bool, ...] = (True, True, True)) -> Stack:
    """Tiers with pass@1 of .57, .72, .85 and .90; `useful` says whose confidences are probabilities."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(2, 1, n) + np.array([[-0.1], [0.05], [0.2], [0.25]]), 0.02, 0.98)
    correct = rng.random(p.shape) < p
    confidence = np.where(np.array([*useful, True])[:, None], p, rng.random(p.shape))
    return tiers(confidence, correct, [1.0, 3.0, 10.0, 40.0])


SURE = tiers(
    # tier 1 knows when it is right, tiers 0 and 2 do not; tier 2 is always right
    np.array([[0.5] * 8, [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1], [np.nan] * 8]),
    np.array([[1, 0, 1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1, 0, 0], [1] * 8], bool),
    [1.0, 2.0, 10.0],
)


def test_max_drop_leaves_a_useless_first_tier_out() -> None:
    assert chosen(SURE, delta=0.0, confidence=None) == ("1-2", [0.9])


def test_llm_accuracy_sets_every_threshold_to_the_pass_rate_of_the_most_accurate_tier() -> None:
    d = tiers(SURE.confidence, SURE.correct & (np.arange(8) != 7), [1.0, 2.0, 10.0])
    assert chosen(d, "llm_accuracy", delta=0.0) == ("1-2", [7 / 8])


def test_budget_buys_the_most_accurate_chain() -> None:
    # 1-2 at .9 costs 2 + 10 * 2 / 8 = 4.5 of the 10 of tier 2 alone and is right on everything
    assert chosen(SURE, "budget", budget=0.45) == ("1-2", [0.9])
    assert chosen(SURE, "budget", budget=0.2) == ("1", [])  # 2 of 10: tier 1 alone, 6 of 8
    assert chosen(SURE, "budget", budget_usd=1000.0) == ("0", [])
    assert chosen(SURE, "budget", budget_usd=999.0) == ("", [])


def test_fixed_chooses_no_chain() -> None:
    assert chosen(SURE, "fixed") == ("", [])


def test_a_tier_that_is_cheaper_and_better_is_used_alone() -> None:
    d = tiers(np.full((3, 8), np.nan), np.array([[0] * 8, [1] * 8, [1] * 7 + [0]], bool), [1.0, 2.0, 10.0])
    assert reference_tier(d) == 1
    assert chosen(d, confidence=None) == ("1", [])
    assert chosen(d) == ("1", [])


def test_of_equally_accurate_tiers_the_cheaper_one_is_the_reference() -> None:
    d = tiers(np.full((3, 4), 0.5), np.array([[0] * 4, [1, 1, 0, 0], [0, 0, 1, 1]], bool), [1.0, 9.0, 2.0])
    assert reference_tier(d) == 2


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
def test_missing_confidences_are_passed_on(seed: int, missing: float) -> None:
    d = simulated(600, seed)
    d.confidence[1, np.random.default_rng(seed).random(600) < missing] = np.nan
    found = measure_tiers(d, halves(600), CascadeConfig(name="test", rule="max_drop", resamples=20))
    assert found is not None
    best = found.best
    assert best is not None
    assert sum(best.answered) == pytest.approx(1)
    assert best.figures["deferral_rate"].value == pytest.approx(1 - best.answered[0])
    assert len(best.thresholds) == len(best.tiers) - 1
    if missing == 1.0:
        assert not any(name.startswith("1-") for name in found.frontier["chain"])


def test_the_longest_chain_wins_where_every_tier_knows_what_it_knows() -> None:
    d = simulated(4000, 1)
    d.confidence[:3] = d.correct[:3]
    d.correct[3] = True
    found = measure_tiers(d, halves(4000), CascadeConfig(name="test", rule="max_drop", confidence=None, delta=0.0))
    assert found is not None
    assert found.best is not None
    assert found.best.name == "0-1-2-3"
    assert found.best.figures["accuracy_change"].value >= 0
    assert found.pays.startswith("A third tier pays: 0-1-2-3 against")


def test_no_results_without_calibration_questions_or_with_two_tiers() -> None:
    d = simulated(40, 0)
    assert measure_tiers(d, np.full(40, "test"), CascadeConfig(name="test")) is None
    two = Stack(tiers=[0, 1], **{k: getattr(d, k)[:2] for k in ("confidence", "correct", "cost", "signal_cost")})
    assert measure_tiers(two, halves(40), CascadeConfig(name="test")) is None


def test_figures_of_the_chosen_chain_by_hand() -> None:
    d = Stack(tiers=[0, 1, 2], **{k: np.tile(getattr(SURE, k), (1, 2)) for k in FIELDS})
    split = np.repeat(["calibration", "test"], 8)
    found = measure_tiers(d, split, CascadeConfig(name="test", rule="max_drop", confidence=None, resamples=50))
    assert found is not None
    best = found.best
    assert best is not None
    assert (best.name, best.thresholds, best.reference) == ("1-2", [0.9], 2)
    assert best.answered == [0.75, 0.25]
    shown = {name: best.figures[name].value for name in ("accuracy", "cost", "accuracy_change", "cost_change")}
    assert shown == {"accuracy": 1.0, "cost": 4.5, "accuracy_change": 0.0, "cost_change": pytest.approx(-0.55)}
    assert found.alone == {0: (0.5, 1.0), 1: (0.75, 2.0), 2: (1.0, 10.0)}


FIELDS = ("confidence", "correct", "cost", "signal_cost")


@pytest.fixture(scope="module")
def recorded() -> Stack:
    if not RECORDED.exists():
        pytest.skip("recorded answers of five models are not on this machine")
    frame = pd.read_parquet(RECORDED)
    parts = {
        c: np.stack([frame[frame["tier"] == t][c] for t in range(5)]) for c in ("confidence", "correct", "cost_usd")
    }
    cost = parts["cost_usd"]
    return Stack(
        tiers=list(range(5)), confidence=parts["confidence"], correct=parts["correct"], cost=cost, signal_cost=cost
    )


def measured(d: Stack, fraction: float, seed: int, **more: float | str | None) -> TierResults:
    split = np.where(np.random.default_rng(seed).random(len(d)) < fraction, "calibration", "test")
    found = measure_tiers(d, split, CascadeConfig(name="test", resamples=50, **more))
    assert found is not None
    return found


def best_of(found: TierResults) -> BestChain:
    assert found.best is not None
    return found.best


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "max_drop"},
        {"rule": "max_drop", "confidence": None, "delta": 0.01},
        {"rule": "llm_accuracy"},
        {"rule": "budget"},
    ],
)
def test_five_recorded_models_save_about_half_at_a_point(recorded: Stack, rule: dict[str, str | float | None]) -> None:
    found = [best_of(measured(recorded, 0.5, seed, **rule)) for seed in range(3)]
    costs = [b.figures["cost_change"].value for b in found]
    drops = [b.figures["accuracy_change"].value for b in found]
    assert [b.tiers[-2:] for b in found] == [[3, 4]] * 3
    assert -0.62 < np.mean(costs) < -0.32
    assert -0.018 < np.median(drops) < 0


@pytest.mark.slow
@pytest.mark.parametrize("promise", [{"rule": "max_drop"}, {"rule": "guarantee"}])
def test_a_promise_is_broken_in_at_most_one_of_ten_draws(promise: dict[str, str]) -> None:
    """The truth is the mean of 100,000 questions; 46 of 300 is 3 standard errors above 10 %."""
    truth, broken, bolder = simulated(100_000, 99, useful=(False, True, True)), 0, 0
    cfg = CascadeConfig(name="test", delta=0.03, **promise)
    for seed in range(300):
        known = truth.where(np.random.default_rng(seed).choice(len(truth), 500, replace=False))
        choice = choose_chain(cfg.rule, known, [], known.silent, cfg)
        assert choice.chain is not None
        right, cost = run_chain(truth, choice.chain, choice.thresholds[None], known.silent)
        broken += truth.correct[reference_tier(known)].mean() - right.mean() > 0.03
        bolder += cost.mean() < 0.95 * truth.cost[-1].mean()
    assert broken <= 46
    assert bolder > 150  # not kept by keeping nothing
