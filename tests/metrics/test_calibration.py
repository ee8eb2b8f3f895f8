"""Calibration metrics: by hand, against scikit-learn, and against straightforward code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from corea.metrics.calibration import equal_mass, equal_width, measure

DECIMALS = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


def test_decimal_edges() -> None:
    assert equal_width(DECIMALS, 10).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert equal_width(DECIMALS, 10, "upper").tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert equal_width(DECIMALS, 10, "linspace").tolist() == [0, 1, 2, 2, 4, 5, 5, 6, 8, 9, 9]
    hundredths = np.arange(101) / 100
    assert equal_width(hundredths, 100).tolist() == [*range(100), 99]


def test_ece_by_hand() -> None:
    # bin [0.3, 0.4): mean 0.3, 1 of 2 right, gap 0.2; bin [0.9, 1]: mean 0.95, 3 of 4 right, gap 0.2
    confidence = [0.3, 0.3, 0.9, 0.9, 1.0, 1.0]
    correct = [1, 0, 1, 1, 1, 0]
    assert measure(confidence, correct)["ece"] == pytest.approx(0.2, abs=1e-15)
    # 0.29 and 0.3 share a bin only under "upper"; gaps 0.29 and 0.7, or |0.295 - 0.5|
    assert measure([0.29, 0.3], [0, 1])["ece"] == pytest.approx((0.29 + 0.7) / 2)
    assert measure([0.29, 0.3], [0, 1], edges="upper")["ece"] == pytest.approx(0.205)


def test_equal_mass_keeps_ties_together() -> None:
    assert equal_mass(np.array([1, 1, 6, 1, 1]), 5).tolist() == [0, 0, 2, 4, 4]


def test_brier_parts_by_hand() -> None:
    # two forecasts, 0.2 (1 of 4 right) and 0.8 (3 of 4): reliability 0.05^2, resolution 0.25^2, base rate 0.5
    m = measure([0.2] * 4 + [0.8] * 4, [1, 0, 0, 0, 1, 1, 1, 0])
    assert m["brier_reliability"] == pytest.approx(0.0025)
    assert m["brier_resolution"] == pytest.approx(0.0625)
    assert m["brier_uncertainty"] == pytest.approx(0.25)
    assert m["brier_within"] == pytest.approx(0, abs=1e-15)
    assert m["brier"] == pytest.approx(0.0025 - 0.0625 + 0.25)


def test_aurc_by_hand() -> None:
    # ranked right, wrong, right: error rates 0, 1/2, 1/3; the best order has 0, 0, 1/3
    m = measure([0.9, 0.5, 0.1], [1, 0, 1])
    assert m["aurc"] == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)
    assert m["excess_aurc"] == pytest.approx(1 / 2 / 3)
    # all tied: whatever the coverage, the expected error rate is 1/3
    assert measure([0.5] * 3, [1, 0, 1])["aurc"] == pytest.approx(1 / 3)


def test_missing_confidence_is_left_out_and_counts_for_accuracy() -> None:
    m = measure([0.9, np.nan, 0.1], [1, 1, 0])
    assert m["accuracy"] == pytest.approx(2 / 3)
    assert m["brier"] == pytest.approx(0.01)
    assert m["auroc"] == 1.0


def test_one_class_has_no_auroc() -> None:
    assert np.isnan(measure([0.2, 0.4], [1, 1])["auroc"])
    assert np.isnan(measure([np.nan], [1])["ece"])


def answers(low: int = 2, high: int = 60):
    one = st.tuples(st.integers(0, 20).map(lambda k: k / 20), st.booleans())
    return st.lists(one, min_size=low, max_size=high)


@settings(max_examples=60, deadline=None)
@given(answers(), st.randoms())
def test_against_scikit_learn_and_any_order(rows: list[tuple[float, bool]], random) -> None:
    confidence, correct = (np.array(x) for x in zip(*rows, strict=True))
    m = measure(confidence, correct)
    assert m["brier"] == pytest.approx(brier_score_loss(correct, confidence, pos_label=True))
    assert m["log_loss"] == pytest.approx(log_loss(correct, confidence, labels=[False, True]))
    if 0 < correct.sum() < len(correct):
        assert m["auroc"] == pytest.approx(roc_auc_score(correct, confidence))
    shuffled = rows[:]
    random.shuffle(shuffled)
    again = measure(*zip(*shuffled, strict=True))
    assert {k: v for k, v in again.items() if v == v} == {k: v for k, v in m.items() if v == v}


@settings(max_examples=60, deadline=None)
@given(answers(), st.integers(1, 12))
def test_ece_against_a_plain_loop(rows: list[tuple[float, bool]], bins: int) -> None:
    # confidences are k/20 exactly, so integer arithmetic names the bin without rounding
    total = 0.0
    for b in range(bins):
        inside = [(c, y) for c, y in rows if min(round(c * 20) * bins // 20, bins - 1) == b]
        total += abs(sum(c for c, _ in inside) - sum(y for _, y in inside))
    confidence, correct = zip(*rows, strict=True)
    assert measure(confidence, correct, bins=bins)["ece"] == pytest.approx(total / len(rows), abs=1e-12)


def test_debiased_ece_is_the_limit_of_its_monte_carlo_form() -> None:
    """Kumar et al.: 2 ECE less the mean ECE with accuracies drawn around the observed ones."""
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(10) / 10 + 0.05, 30)
    correct = rng.random(300) < level
    m = measure(level, correct)
    n, accuracy = 30, correct.reshape(10, 30).mean(1)
    drawn = rng.normal(accuracy, np.sqrt(accuracy * (1 - accuracy) / n), size=(200_000, 10))
    expected = 2 * m["ece"] - np.abs(drawn - level.reshape(10, 30)[:, 0]).mean()
    assert m["ece_debiased"] == pytest.approx(expected, abs=1e-3)


def test_aurc_is_the_mean_over_random_tie_orders() -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.integers(0, 5, 40) / 4, rng.random(40) < 0.6
    areas = []
    for _ in range(4000):
        order = rng.permutation(40)
        ranked = order[np.argsort(-confidence[order], kind="stable")]
        areas.append(np.mean(np.cumsum(~correct[ranked]) / np.arange(1, 41)))
    assert measure(confidence, correct)["aurc"] == pytest.approx(np.mean(areas), abs=2e-3)
