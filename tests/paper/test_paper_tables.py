"""Systems, intervals and tables of the study, by hand and against a hierarchical bootstrap of the test's own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from answer_tables import make_pairs
from corea.comparing.paired_figures import Draws
from corea.config import CascadeConfig
from corea.errors import UserError
from corea.metrics.figures import Figure
from corea.metrics.levels import group
from study.cells import column_cells, difference_cell, mean_cell
from study.figures import prepare_curve, prepare_reliability
from study.report import markers, missing_jobs, with_block
from study.systems import ALONE, CASCADE, LLM, ORACLE, RANDOM, ROUTER, System, measured, standard
from study.tables import main_table, or_llm_alone

CFG = CascadeConfig(name="test", resamples=200)
LEVEL = 0.95


def questions():
    """Five questions, as in hand_rows: the SLM costs 1, the LLM 10. The SLM has 2 right, the LLM 3; the LLM alone has
    b and d, the SLM alone has c."""
    return make_pairs([0.9, 0.8, 0.8, 0.3, 0.1], [1, 0, 1, 0, 0], [1, 1, 0, 1, 0])


def point(kind: str, known=None) -> dict[str, float]:
    return measured(kind, questions(), known, "d", CFG).values


def test_models_alone():
    slm, llm = point(ALONE), point(LLM)
    for rule in ("llm_accuracy", "max_drop"):
        assert (slm[f"{rule}/accuracy"], slm[f"{rule}/deferral_rate"]) == (0.4, 0.0)
        assert slm[f"{rule}/cost_change"] == pytest.approx(-0.9)
        assert (llm[f"{rule}/accuracy"], llm[f"{rule}/deferral_rate"]) == (0.6, 1.0)
        assert llm[f"{rule}/cost_change"] == 0.0
    assert "areas/area" not in slm


def test_the_oracle_defers_what_only_the_llm_gets_right():
    found = point(ORACLE)
    assert (found["max_drop/accuracy"], found["max_drop/deferral_rate"]) == (0.8, 0.4)
    assert found["max_drop/cost_change"] == pytest.approx((5 * 1 + 2 * 10) / 50 - 1)
    # pass@1 rises from 0.4 to 0.8 over two of five questions, stays for two, falls to 0.6 with the last
    assert found["areas/area"] == pytest.approx(0.4 * 0.6 + 0.4 * 0.8 + 0.2 * 0.7)
    assert found["areas/area_gain"] == 1.0


def test_a_cascade_a_router_and_random_deferral_at_one_threshold():
    """The threshold is the LLM's pass@1, 0.6: d and e are deferred; a, b and c kept, of which a and c are right."""
    known = questions()
    cascade, router, random = (point(kind, known) for kind in (CASCADE, ROUTER, RANDOM))
    assert (cascade["llm_accuracy/accuracy"], cascade["llm_accuracy/deferral_rate"]) == (0.6, 0.4)
    assert cascade["llm_accuracy/cost_change"] == pytest.approx((5 + 20) / 50 - 1)
    assert router["llm_accuracy/accuracy"] == 0.6
    assert router["llm_accuracy/cost_change"] == pytest.approx((3 + 20) / 50 - 1)
    assert random["llm_accuracy/accuracy"] == pytest.approx(0.4 + 0.4 * 0.2)
    assert random["llm_accuracy/cost_change"] == pytest.approx((5 + 20) / 50 - 1)
    assert (random["areas/area"], random["areas/area_gain"]) == (pytest.approx(0.5), 0.0)


def test_a_rule_without_a_threshold_is_the_llm_alone():
    found = standard(CASCADE, point(CASCADE, None) | {"slm/cost_usd": 1.0, "llm/cost_usd": 10.0}, "usd")
    assert [found[f"max_drop/{name}"] for name in ("accuracy", "cost_change", "deferral_rate")] == [0.6, 0.0, 1.0]


def draws_of(right: np.ndarray, drawn: np.ndarray) -> dict[int, Draws]:
    """Seed -> a run whose metric "m" is the mean of `right` [S, Q], on the resamples `drawn` [R, Q]."""
    levels = group(questions())
    return {
        s: Draws(of={"m": row[drawn].mean(1)}, values={"m": float(row.mean())}, levels=levels, cfg=CFG)
        for s, row in enumerate(right)
    }


def hierarchical(right: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Ends of the percentile interval of a bootstrap over seeds and, independently, over the questions they share."""
    seeds, number = right.shape
    chosen = rng.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)  # [R, S] how often
    asked = rng.multinomial(number, np.full(number, 1 / number), resamples)  # [R, Q]
    return np.quantile((chosen @ right * asked).sum(1) / (seeds * number), [0.025, 0.975])


def trained(
    rng: np.random.Generator, seeds: int, number: int, of_seed: float, of_question: float, noise: float = 0.2
) -> np.ndarray:
    """[S, Q] figures 0.5 + seed + question + noise: normal, with these standard deviations."""
    seed, question = rng.normal(0, of_seed, (seeds, 1)), rng.normal(0, of_question, (1, number))
    return 0.5 + seed + question + rng.normal(0, noise, (seeds, number))


def test_with_many_seeds_the_interval_is_that_of_a_hierarchical_bootstrap():
    rng = np.random.default_rng(0)
    right = trained(rng, 30, 100, 0.1, 0.25)
    cell = mean_cell(draws_of(right, rng.integers(0, 100, (1000, 100))), "m", LEVEL)
    assert cell.value == pytest.approx(right.mean())
    own = hierarchical(right, rng, 5000)
    assert cell.span.high - cell.span.low == pytest.approx(own[1] - own[0], rel=0.1)
    assert (cell.span.low, cell.span.high) == pytest.approx(own, abs=0.01)


def test_with_three_seeds_it_covers_the_truth_where_a_hierarchical_bootstrap_does_not():
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 40, (150, 40))
    ours, theirs = [], []
    for _ in range(300):
        right = trained(rng, 3, 40, 0.05, 0.05, noise=0.02)
        span = mean_cell(draws_of(right, drawn), "m", LEVEL).span
        low, high = hierarchical(right, rng, 150)
        ours.append(span.low < 0.5 < span.high)
        theirs.append(low < 0.5 < high)
    assert np.mean(ours) > 0.93
    assert np.mean(theirs) < 0.85


def test_one_seed_has_the_interval_over_questions():
    rng = np.random.default_rng(2)
    drawn = rng.integers(0, 50, (400, 50))
    right = trained(rng, 1, 50, 0.1, 0.2)
    cell = mean_cell(draws_of(right, drawn), "m", LEVEL)
    assert (cell.span.low, cell.span.high) == pytest.approx(np.quantile(right[0][drawn].mean(1), [0.025, 0.975]))
    assert cell.seeds == 1


def test_systems_are_tested_on_the_same_questions_and_corrected_for_their_number():
    """`far` is above the reference on every question; `same` is the reference itself; `near` differs on few."""
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 60, (500, 60))
    right = trained(rng, 3, 60, 0.02, 0.3)
    near = right.copy()
    near[:, :4] += [0.5, 0.4, -0.2, 0.3]
    systems = {name: draws_of(of, drawn) for name, of in (
        ("corea", right), ("far", right + 0.1), ("same", right), ("near", near)
    )}  # fmt: skip
    cells = column_cells(systems, "m", list(systems), "corea", LEVEL)
    assert math.isnan(cells["corea"].p)
    differences = (near - right)[:, drawn].mean((0, 2))
    assert cells["near"].p == pytest.approx(2 * (differences <= 0).mean())
    assert (cells["far"].p, cells["same"].p) == (1 / 500, 1.0)
    assert [cells[n].p_holm for n in ("far", "near", "same")] == pytest.approx([3 / 500, 2 * cells["near"].p, 1.0])
    change = difference_cell(systems["far"], systems["corea"], "m", LEVEL)
    assert (change.value, change.span.low, change.span.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_table_marks_the_best_cascade_and_what_differs_from_the_reference():
    sure = make_pairs(np.linspace(0, 1, 40), [0] * 10 + [1] * 30, [1] * 40)
    unsure = replace(sure, confidence=np.linspace(1, 0, 40))
    rows = [System(name="corea", recipe="corea"), System(name="other", recipe="other")]
    family = {
        "corea": {0: measured(CASCADE, sure, sure, "d", CFG)},
        "other": {0: measured(CASCADE, unsure, unsure, "d", CFG)},
    }
    head, _, first, second = main_table(family, rows, "llm_accuracy").splitlines()
    assert head == "| system | seeds | pass@1, % | cost, % | to LLM, % | ECE | AUROC | area, % | area gain |"
    auroc = [line.split(" | ")[6] for line in (first, second)]
    assert auroc == ["**1.000 (1.000 to 1.000)†**", "0.000 (0.000 to 0.000)†\\*"]
    assert main_table(family, rows, "max_drop").splitlines()[0].endswith("| to LLM, % |")


def test_a_rule_without_a_threshold_changes_nothing_in_an_ablation_either():
    known = Figure(value=-0.25, low=-0.3, high=-0.2, n=9)
    found = or_llm_alone({"sums": {"max_drop/cost_change": known}, "training": {}})
    assert found["sums"]["max_drop/cost_change"] is known
    assert found["sums"]["max_drop/accuracy_change"].value == 0.0
    assert found["training"] == {}


def test_the_numbers_behind_the_figures():
    draws = measured(CASCADE, questions(), None, "d", CFG)
    line = prepare_curve(System(name="corea", recipe="corea"), {0: draws, 1: draws})
    # nothing, e, d, b and c, a deferred: the ends and the fifth in the middle
    assert line.iloc[[0, 20, 40, 100]].to_numpy() == pytest.approx(
        np.array([[10, 0.4], [30, 0.4], [50, 0.6], [110, 0.6]])
    )
    table = prepare_reliability({0: draws, 1: draws})
    assert table["n"].tolist() == [2, 2, 4, 2]
    assert table["accuracy"].tolist() == [0.0, 0.0, 0.5, 1.0]


def test_the_block_of_a_scale_is_replaced_and_the_prose_around_it_kept():
    text = with_block("# Study\n\nProse.\n", "tiny", "first")
    begin, end = markers("tiny")
    assert text == f"# Study\n\nProse.\n\n{begin}\n\nfirst\n\n{end}\n"
    both = with_block(text + "\nMore prose.\n", "broad", "other")
    again = with_block(both, "tiny", "second")
    assert again == both.replace("first", "second")
    assert again.index("second") < again.index("More prose.") < again.index("other")
    with pytest.raises(UserError, match=r"^README.md: the lines "):
        with_block(text.replace(markers("tiny")[1], ""), "tiny", "x")


def test_missing_jobs_are_named_by_setting():
    from study.plan import Job

    jobs = [
        Job(name=n, commands=()) for n in ("main/corea/seed0", "main/corea/seed1", "size/x/cold", "main/rlvr/seed1")
    ]
    assert missing_jobs(jobs, {"main/corea/seed0"}) == "main/corea (1); size/x (cold); main/rlvr (1)"
    assert missing_jobs(jobs[:1], {"main/corea/seed0"}) == ""
