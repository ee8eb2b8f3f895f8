"""Promised thresholds: exact tests against enumeration, cases by hand, and broken promises on redrawn questions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from corea.cascade.net_drop import critical, drop_bound, rejects, signed_root, size
from corea.cascade.promises import candidates, chosen_depth, kept, p_value, passes, shortfall


def counts(*levels: tuple[int, int, int, int]) -> np.ndarray:
    """[K, 4] questions where neither, only the LLM, only the SLM, both are right; levels by ascending confidence."""
    return np.array(levels)


def all_tested(count: np.ndarray) -> np.ndarray:
    return candidates(count.sum(-1))


def test_sums_of_kept_levels_by_hand() -> None:
    sums = kept(counts((1, 2, 3, 4), (0, 1, 0, 5)))
    assert sums.questions == 16
    assert sums.kept.tolist() == [16, 6, 0]
    assert sums.lost.tolist() == [3, 1, 0]
    assert sums.won.tolist() == [3, 0, 0]
    assert sums.right.tolist() == [12, 5, 0]


def test_p_values_of_losses_and_kept_accuracy_are_binomial() -> None:
    sums = kept(counts((2, 3, 1, 30), (1, 1, 0, 60)))
    assert p_value(sums, "loss", 0.05)[0] == pytest.approx(binom.cdf(4, 98, 0.05))
    assert p_value(sums, "kept_accuracy", 0.9)[0] == pytest.approx(binom.cdf(7, 98, 0.1))
    assert p_value(sums, "kept_accuracy", 0.9)[1] == pytest.approx(binom.cdf(2, 62, 0.1))
    assert p_value(sums, "kept_accuracy", 0.9)[2] == 1.0, "without a kept answer nothing is shown"


def test_114_questions_without_a_loss_show_a_loss_of_at_most_2_percent() -> None:
    # 0.98^114 = 0.09994
    for of in ("loss", "net"):
        assert not passes(kept(counts((0, 0, 0, 113))), of, 0.02, 0.1)[0]
        assert passes(kept(counts((0, 0, 0, 114))), of, 0.02, 0.1)[0]


def test_a_won_question_makes_up_for_a_lost_one() -> None:
    # 240 questions: 2 lost fail the binomial test (p = .14); with 5 won as well the net drop is far below 0.02
    assert not passes(kept(counts((0, 2, 0, 238))), "net", 0.02, 0.1)[0]
    assert passes(kept(counts((0, 2, 5, 233))), "net", 0.02, 0.1)[0]


def test_signed_root_is_the_likelihood_ratio() -> None:
    lost, won, n, delta = 6, 3, 80, 0.1
    q = np.linspace(1e-6, 0.4499, 400_000)
    restricted = (lost * np.log(q + delta) + won * np.log(q) + 71 * np.log(1 - delta - 2 * q)).max()
    best = lost * np.log(6 / 80) + won * np.log(3 / 80) + 71 * np.log(71 / 80)
    assert float(signed_root(lost, won, n, delta)) == pytest.approx(-math.sqrt(2 * (best - restricted)), abs=1e-5)
    assert float(signed_root(20, 3, n, delta)) > 0


@pytest.mark.parametrize(("n", "delta", "alpha"), [(40, 0.05, 0.1), (60, 0.1, 0.05)])
def test_size_of_the_net_test_by_enumeration_is_at_most_alpha(n: int, delta: float, alpha: float) -> None:
    outcomes = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    region = outcomes[rejects(outcomes[:, 0], outcomes[:, 1], n, delta, alpha)]
    assert len(region) > 10
    found = []
    for q in np.concatenate([[0.0, 1e-4], np.linspace(0.002, (1 - delta) / 2, 80)]):
        found.append(multinomial.pmf(region, n, [q + delta, q, max(1 - delta - 2 * q, 0.0)]).sum())
    assert 0.6 * alpha < max(found) <= alpha + 1e-4
    assert size(n, delta, alpha, np.array([0.1])) == pytest.approx(
        multinomial.pmf(region, n, [0.1 + delta, 0.1, 0.8 - delta]).sum(), abs=1e-5
    )


@pytest.mark.parametrize("n", [100, 240, 1000, 20_000])
def test_size_of_the_net_test_between_the_tried_points(n: int) -> None:
    fine = np.concatenate([[0.0], np.geomspace(0.01 / n, 0.49, 300)])
    assert size(n, 0.02, 0.1, fine) <= 0.101
    assert critical(n, 0.02, 0.1) < 1.5, "the normal value is 1.28"


def test_the_bound_of_the_drop_shrinks_with_questions_and_wins() -> None:
    assert drop_bound(0, 0, 114, 0.9) == pytest.approx(1 - 0.1 ** (1 / 114), rel=0.02)  # binomial: 0.0200
    few, many = drop_bound(5, 5, 200, 0.9), drop_bound(50, 50, 2000, 0.9)
    assert 0 < many < few < 0.05
    assert drop_bound(5, 9, 200, 0.9) < few


def test_the_boldest_valid_threshold_is_chosen_and_a_failure_stops_the_sequence() -> None:
    good, bad = (0, 0, 0, 200), (0, 40, 0, 160)
    # ascending confidence: the two upper levels are fine; the level below loses 40; the lowest would be fine again
    count = counts(good, bad, good, good)
    assert chosen_depth(count, "net", 0.02, 0.1, all_tested(count)) == 2
    assert chosen_depth(count, "loss", 0.02, 0.1, all_tested(count)) == 2
    hopeless = counts(bad, bad)
    assert chosen_depth(hopeless, "net", 0.02, 0.1, all_tested(hopeless)) == 2, "defers everything"


def test_kept_accuracy_starts_where_enough_answers_are_kept() -> None:
    # the upper level alone holds too few answers to pass; with the next one 98 of 100 are right
    count = counts((50, 0, 0, 50), (2, 0, 0, 88), (0, 0, 0, 10))
    assert chosen_depth(count, "kept_accuracy", 0.9, 0.1, all_tested(count)) == 1


def test_candidates_follow_the_shares_of_the_confidence_and_skip_missing_ones() -> None:
    many = candidates(np.ones(1000), most=4)
    assert np.flatnonzero(many).tolist() == [0, 250, 500, 750]
    few = candidates(np.array([30, 1, 0, 5]), most=4, missing=1)
    assert few.tolist() == [False, True, False, True, False]


def test_resamples_get_the_same_depths_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    chances = [0.1, 0.05, 0.03, 0.15, 0.02, 0.02, 0.01, 0.25, 0.005, 0.01, 0.005, 0.35]
    count = rng.multinomial(400, chances, size=30).reshape(30, 3, 4)
    for of, target in (("net", 0.03), ("loss", 0.04), ("kept_accuracy", 0.9)):
        together = chosen_depth(count, of, target, 0.1, all_tested(count))
        alone = [int(chosen_depth(c, of, target, 0.1, all_tested(c))) for c in count]
        assert together.tolist() == alone
        assert len(set(alone)) > 1, of


def test_the_shortfall_says_how_many_questions_and_which_candidate() -> None:
    few = counts((0, 0, 0, 50))
    for of in ("loss", "net"):
        need = shortfall(few, of, 0.02, 0.1, all_tested(few))
        assert (need.questions, need.depth) == (114, 0)  # 0.98^114 < 0.1 < 0.98^113
    # half of 40 questions are kept, all right: 33 kept answers give 0.9^33 = 0.031 < 0.1 / 3, so 66 questions or fewer
    half = counts((10, 0, 0, 10), (0, 0, 0, 20))
    need = shortfall(half, "kept_accuracy", 0.9, 0.1, all_tested(half))
    assert need.depth == 1
    assert need.questions == pytest.approx(65, abs=1)
    wrong = counts((0, 300, 0, 0))
    assert shortfall(wrong, "loss", 0.02, 0.1, all_tested(wrong)).questions == math.inf
    assert shortfall(wrong, "kept_accuracy", 0.9, 0.1, all_tested(wrong)).depth is None


def test_won_questions_that_pass_are_not_asked_for_more() -> None:
    count = counts((0, 30, 30, 940))
    need = shortfall(count, "net", 0.02, 0.1, all_tested(count))
    assert need.questions < 1000
    assert chosen_depth(count, "net", 0.02, 0.1, all_tested(count)) == 0


def world(u: np.ndarray, of: str) -> tuple[np.ndarray, np.ndarray]:
    """Chance to lose and to win a question by its rank u (0: most confident); keeping all is just beyond the target."""
    if of == "kept_accuracy":
        return 0.2002 * u, np.zeros_like(u)  # errors of 0.1001 when all are kept
    return 0.04004 * u + 0.01, np.full_like(u, 0.01 if of == "net" else 0.0) * (of == "net")


def broken(of: str, n: int, draws: int, discrete: bool) -> tuple[float, float]:
    """Share of broken promises and mean kept share."""
    rng = np.random.default_rng(3)
    u, x = rng.random((draws, n)), rng.random((draws, n))
    lose, win = world(u, of)
    outcome = np.where(x < lose, 1, np.where(x < lose + win, 2, 3))
    levels = 10 if discrete else n
    level = 9 - (u * 10).astype(int) if discrete else n - 1 - np.argsort(np.argsort(u, 1), 1)
    cell = (np.arange(draws)[:, None] * levels + level) * 4 + outcome
    count = np.bincount(cell.ravel(), minlength=draws * levels * 4).reshape(draws, levels, 4)
    target = 0.9 if of == "kept_accuracy" else 0.02 if of == "net" else 0.03
    depth = chosen_depth(count, of, target, 0.1, candidates(count.sum(-1)))
    edges = np.concatenate([np.sort(u, 1)[:, ::-1], np.zeros((draws, 1))], 1)
    share = 1 - depth / 10 if discrete else np.take_along_axis(edges, depth[:, None], 1)[:, 0]
    # integrals of lose - win (net), lose (loss) and lose / share (error of kept answers) over 0..share
    drop = {"net": 0.02002 * share**2, "loss": 0.02002 * share**2 + 0.01 * share, "kept_accuracy": 0.1001 * share}[of]
    limit = 0.1 if of == "kept_accuracy" else target
    return float((drop > limit).mean()), float(share.mean())


@pytest.mark.parametrize("discrete", [True, False], ids=["ten values", "continuous"])
@pytest.mark.parametrize("of", ["net", "loss", "kept_accuracy"])
def test_a_promise_at_the_boundary_is_broken_at_most_as_often_as_alpha(of: str, discrete: bool) -> None:
    rate, share = broken(of, 240, 500, discrete)
    assert rate <= 0.1 + 0.02  # alpha and 1.5 standard errors of 500 draws
    assert share > 0.1, "a rule that keeps nothing keeps every promise"


@pytest.mark.slow
@pytest.mark.parametrize("discrete", [True, False], ids=["ten values", "continuous"])
@pytest.mark.parametrize("n", [100, 240, 1000])
@pytest.mark.parametrize("of", ["net", "loss", "kept_accuracy"])
def test_promises_are_kept_at_every_size(of: str, n: int, discrete: bool) -> None:
    assert broken(of, n, 2000, discrete)[0] <= 0.1 + 0.01
