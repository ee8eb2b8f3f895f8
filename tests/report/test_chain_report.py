"""More than two tiers: headline, terminal, files and page speak of the best chain."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from answer_tables import config, recorded
from corea.cascade.decision import decide
from corea.cascade.operating_point import OperatingPoint
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.results import Results
from corea.report import sentences
from corea.report.advice import advice
from corea.report.html_report import render
from corea.report.result_files import write_files
from corea.report.terminal import print_summary
from corea.report.write_results import flat_figures


def three_tiers(folder: Path, datasets: tuple[str, ...] = ("d",)) -> Path:
    """400 questions per dataset. Tier 0 knows nothing, tier 1 is right on 3 of 4 and knows it, tier 2 is right."""
    rng = np.random.default_rng(0)
    rows = []
    for dataset in datasets:
        for i in range(400):
            right = i % 4 > 0
            key = {"dataset": dataset, "question_id": f"q{i}", "split": "test" if i % 8 < 4 else "calibration"}
            rows.append({**key, "tier": 0, "correct": i % 8 in (1, 6), "confidence": rng.random(), "cost_usd": 1e-5})
            rows.append({**key, "tier": 1, "correct": right, "confidence": 0.9 if right else 0.2, "cost_usd": 2e-5})
            rows.append({**key, "tier": 2, "correct": True, "confidence": None, "cost_usd": 1e-4})
    frame = pd.DataFrame(rows).assign(model=lambda f: "model-" + f["tier"].astype(str))
    frame.to_parquet(folder / "answers.parquet", index=False)
    return folder / "answers.parquet"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return run_evaluation(config(three_tiers(tmp_path), rule="max_drop"))


def test_headline_names_the_best_chain_what_it_saves_and_who_answers(results: Results) -> None:
    # tier 1 on every question and tier 2 on a quarter: 2 + 2.5 = 4.5 of the 10 of tier 2 alone
    text = sentences.headline(results)
    assert text.startswith("d: the best chain by max_drop, model-1 → model-2 (tiers 1-2), costs 55.0 % (")
    assert "less than model-2 alone, the most accurate tier; pass@1 changes by +0.0 points" in text
    assert text.endswith("Answered by model-1 75 %, model-2 25 %.")


def test_terminal_shows_chains_and_tiers_alone(results: Results) -> None:
    out = io.StringIO()
    print_summary(results, Console(file=out))
    text = out.getvalue()
    assert "Chains of tiers against the most accurate tier alone" in text
    assert "−55.0" in text
    assert "Tiers alone" in text
    assert "model-0" in text
    assert "Cascade against the LLM alone" not in text


def test_files_hold_the_chain_with_one_threshold_per_tier_but_the_last(results: Results, tmp_path: Path) -> None:
    write_files(results, tmp_path)
    document = json.loads((tmp_path / "operating_point.json").read_text())
    assert (document["chain"], document["thresholds"]) == ([1, 2], [0.9])
    assert document["rule"]["name"] == "max_drop"
    assert document["rule"]["confidence"] == 0.9
    assert document["expected"]["cost_change"]["value"] == pytest.approx(-0.55)
    assert document["tiers"]["d"]["answered"] == [0.75, 0.25]
    point = OperatingPoint.from_json(document).datasets["d"]
    assert decide(np.array([0.9, 0.89, np.nan]), point, 0).tolist() == [True, False, False]
    assert decide(np.array([0.1]), point, 1).tolist() == [True]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["headline"] == sentences.headline(results)
    best = metrics["tiers"]["d"]["best"]
    assert (best["chain"], best["thresholds"], best["accuracy"]["value"]) == ([1, 2], [0.9], 1.0)
    assert metrics["tiers"]["d"]["alone"]["0"] == {"accuracy": 0.25, "cost": pytest.approx(1e-5)}
    assert len(pd.read_csv(tmp_path / "tiers.csv")) == len(results.tiers["d"].frontier)
    assert flat_figures(results)["d/chain/cost_change"] == pytest.approx(-0.55)


def test_page_tells_of_the_chain(results: Results) -> None:
    page = render(results)
    assert "<h1>model-1 → model-2</h1>" in page
    assert sentences.headline(results) in page
    assert "answered by model-1" in page
    assert "confidence at least 0.9" in page
    assert page.index("Chains of tiers") < page.index("Cost and accuracy at every threshold")


def test_several_datasets_are_also_one(tmp_path: Path) -> None:
    results = run_evaluation(config(three_tiers(tmp_path, ("a", "b")), rule="max_drop"))
    assert [(name, found.best.name) for name, found in results.tiers.items() if found.best] == [
        ("a", "1-2"),
        ("b", "1-2"),
        ("pooled", "1-2"),
    ]
    page = render(results)
    assert "b: the best chain" in page
    assert "pooled: the best chain" in page


def test_fixed_keeps_the_pair_and_still_compares_chains(tmp_path: Path) -> None:
    results = run_evaluation(config(three_tiers(tmp_path), rule="fixed", threshold=0.5))
    assert sentences.headline(results).startswith("d: the cascade sends ")
    assert "1-2" in set(results.tiers["d"].chosen["chain"])
    render(results)
    write_files(results, tmp_path)
    assert json.loads((tmp_path / "operating_point.json").read_text())["chain"] is None


def test_a_named_largest_tier_bounds_the_chains(tmp_path: Path) -> None:
    assert run_evaluation(config(three_tiers(tmp_path), rule="max_drop", large=1)).tiers == {}


def test_advice_on_a_chain_states_the_promise_of_its_own_rule(tmp_path: Path) -> None:
    path = three_tiers(tmp_path)
    for rule, promise in (
        ("budget", "promise: on the calibration split"),
        ("max_drop", "promise: with probability 0.9"),
    ):
        line = advice(run_evaluation(config(path, rule=rule)))[0]
        assert line.startswith("d: use the tiers 1-2, signal verbalized, rule")
        assert promise in line
    dear = advice(run_evaluation(config(path, rule="llm_accuracy")))[0]
    assert dear == (
        "d: use tier 2 alone: the chain that llm_accuracy chooses, 0-2, costs 10.0 % more on the test questions."
    )


def test_a_chain_that_loses_more_than_delta_is_warned_of(tmp_path: Path) -> None:
    path = three_tiers(tmp_path)
    frame = pd.read_parquet(path)
    wrong = (frame["tier"] == 1) & (frame["split"] == "test")
    frame.assign(correct=frame["correct"] & ~wrong).to_parquet(path, index=False)
    found = sentences.warnings(run_evaluation(config(path, rule="max_drop")))
    assert found[0].startswith("d: the chosen chain LOSES 75.0 points of pass@1 against model-2 alone")


def test_three_recorded_models(math500: Path, tmp_path: Path) -> None:
    price = {0: 1e-4, 1: 3e-4, 2: 6e-4}
    names = ("slm_rlcr", "llm_qwen2.5_14b_instruct", "llm_gemma_2_27b_it")
    parts = [recorded(math500, n).assign(tier=t, model=n, cost_usd=price[t]) for t, n in enumerate(names)]
    pd.concat(parts).to_parquet(tmp_path / "answers.parquet", index=False)
    results = run_evaluation(config(tmp_path / "answers.parquet", split_fraction=0.5, rule="max_drop"))
    found = results.tiers["all"]
    # the 27B model is dearer and weaker than the 14B model in the middle, which is the reference
    assert found.reference == 1
    assert found.best is not None
    assert found.best.tiers[-1] == 1
    assert set(found.frontier["chain"]) == {"0-1", "0-2", "0-1-2"}
