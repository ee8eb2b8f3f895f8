"""The two ways of drawing agree with each other and with a plain bootstrap; intervals cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from answer_tables import make_pairs
from corea.metrics import bootstrap
from corea.metrics.bootstrap import interval, resample
from corea.metrics.calibration import all_metrics, measure
from corea.metrics.cascade_curve import curve
from corea.metrics.ece_interval import bins_of_answers, ece_interval
from corea.metrics.levels import group


def noisy_levels(n: int = 3000, seed: int = 0):
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(n), 1)
    hard = rng.gamma(2.0, 1.0, n)  # long answers cost more in both tiers
    return make_pairs(
        confidence, rng.random(n) < confidence, rng.random(n) < 0.9, hard, hard * 10 + rng.gamma(1.0, 5.0, n)
    )


def plain_bootstrap(pairs, threshold: float, resamples: int) -> np.ndarray:
    """[R, 4] accuracy, cost, SLM accuracy and LLM cost, one question at a time with one generator."""
    rng = np.random.default_rng(99)
    out = []
    for _ in range(resamples):
        some = pairs.where(rng.integers(0, len(pairs), len(pairs)))
        sent = some.confidence < threshold
        right = np.where(sent, some.llm_correct, some.slm_correct).mean()
        cost = some.slm_cost.mean() + (some.llm_cost * sent).mean()
        out.append([right, cost, some.slm_correct.mean(), some.llm_cost.mean()])
    return np.array(out)


@pytest.mark.parametrize("exact", [10_000, 0], ids=["by question", "by level"])
def test_same_distribution_as_a_plain_bootstrap(monkeypatch: pytest.MonkeyPatch, exact: int) -> None:
    monkeypatch.setattr(bootstrap, "EXACT", exact)
    pairs = noisy_levels()
    levels = group(pairs)
    drawn = curve(resample(levels, 2000, 0)).at(6)  # threshold 0.6 defers the six levels 0.0 to 0.5
    ours = np.stack([drawn.accuracy, drawn.cost, drawn.slm_accuracy, drawn.llm_cost], 1)
    plain = plain_bootstrap(pairs, 0.6, 2000)
    np.testing.assert_allclose(ours.mean(0), plain.mean(0), rtol=4e-3)
    np.testing.assert_allclose(ours.std(0), plain.std(0), rtol=0.08)
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(plain.T), atol=0.09)


def test_resamples_keep_the_number_of_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = group(noisy_levels(500))
    for exact in (10_000, 0):
        monkeypatch.setattr(bootstrap, "EXACT", exact)
        assert (resample(levels, 50, 0).count.sum((1, 2)) == 500).all()


def test_same_seed_same_draws_for_two_systems() -> None:
    """Two systems on the same questions are paired: where they agree, their resamples agree."""
    pairs = noisy_levels(400)
    other = noisy_levels(400)
    other.confidence = 1 - other.confidence
    first, second = resample(group(pairs), 100, 7), resample(group(other), 100, 7)
    np.testing.assert_array_equal(first.slm_right.sum(1), second.slm_right.sum(1))
    np.testing.assert_allclose(first.llm_cost.sum(1), second.llm_cost.sum(1))
    assert (first.slm_right.sum(1) != resample(group(pairs), 100, 8).slm_right.sum(1)).any()


def test_metrics_of_resamples_are_those_of_the_drawn_answers() -> None:
    """A Tally of R resamples goes through the same code; one resample is repeated here answer by answer."""
    levels = group(noisy_levels(200))
    drawn = resample(levels, 3, 0)
    right, wrong = drawn.slm_right, drawn.size - drawn.slm_right
    every = all_metrics(levels.value, wrong, right, mass_of=np.zeros(len(levels.value), int))
    for r in range(3):
        confidence = np.concatenate([np.repeat(levels.value, right[r]), np.repeat(levels.value, wrong[r])])
        correct = np.concatenate([np.ones(right[r].sum()), np.zeros(wrong[r].sum())])
        single = measure(confidence, correct)
        for name in ("ece", "brier", "auroc", "aurc", "excess_aurc", "log_loss", "ece_debiased"):
            assert every[name][r] == pytest.approx(single[name]), name


def test_interval_leaves_undefined_resamples_out() -> None:
    draws = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    low, high = interval(draws, 0.9)
    assert (low[0], high[0]) == pytest.approx((1.1, 2.9))
    assert np.isnan(low[1])
    assert np.isnan(interval(np.empty(0), 0.95)[0])


def test_coverage_of_accuracy_and_ece() -> None:
    """200 data sets with a known truth: a 95 % interval holds it about 95 % of the time, also for the biased ECE."""
    rng = np.random.default_rng(5)
    level = np.arange(10) / 10 + 0.05
    truth = np.clip(level + 0.1 * np.where(level < 0.5, 1, -1), 0, 1)
    hits = {"accuracy": 0, "ece": 0}
    for _ in range(200):
        confidence = rng.choice(level, 400)
        right = rng.random(400) < truth[(confidence * 10).astype(int)]
        levels = group(make_pairs(confidence, right, np.ones(400)))
        drawn = resample(levels, 200, 0)
        low, high = interval(drawn.slm_right.sum(1) / 400, 0.95)
        hits["accuracy"] += low <= truth.mean() <= high
        found, _ = ece_interval(bins_of_answers(confidence, right, (confidence * 10).astype(int), 10), 0.95)
        assert found is not None
        hits["ece"] += found.low <= 0.1 <= found.high
    assert 178 <= hits["accuracy"] <= 200
    assert 180 <= hits["ece"] <= 200
