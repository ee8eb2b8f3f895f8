"""The signal combined, from the table to the operating point."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from answer_tables import config
from corea.answers.fit_part import is_fit_part
from corea.cascade.fitted_maps import apply, from_json
from corea.config import CascadeConfig
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.report.advice import advice
from corea.report.result_files import write_files
from corea.report.sentences import warnings


def two_weak_signals(folder: Path, questions: int = 1600, seed: int = 0) -> Path:
    """Two signals that each know half of what makes an answer right; the LLM is right in 97 %."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=questions), rng.normal(size=questions)
    right = rng.random(questions) < 1 / (1 + np.exp(-(4 * a + 4 * b)))
    key = {
        "dataset": "d",
        "question_id": [f"q{i}" for i in range(questions)],
        "split": np.where(np.arange(questions) < questions * 5 // 8, "calibration", "test"),
    }
    small = pd.DataFrame(
        {
            **key,
            "tier": 0,
            "correct": right,
            "confidence": np.round(1 / (1 + np.exp(-a)), 3),
            "confidence_avg_prob": np.round(1 / (1 + np.exp(-b)), 3),
            "completion_tokens": rng.integers(5, 50, questions),
            "cost_usd": 1e-6,
        }
    )
    large = pd.DataFrame({**key, "tier": 1, "correct": rng.random(questions) < 0.97, "cost_usd": 1e-5})
    pd.concat([small, large], ignore_index=True).to_parquet(folder / "answers.parquet", index=False)
    return folder / "answers.parquet"


def test_combined_ranks_better_and_saves_more_than_either_signal(tmp_path: Path) -> None:
    results = run_evaluation(config(two_weak_signals(tmp_path), rule="max_drop", signal="combined"))
    rows = {row.name: row for row in results.signals["d"]}
    assert next(iter(rows)) == "combined"
    assert "combined, isotonic" not in rows
    auroc = {name: rows[name].figures["auroc"].value for name in ("combined", "verbalized", "avg_prob")}
    assert auroc["combined"] > 0.9 > max(auroc["verbalized"], auroc["avg_prob"])
    cost = results.first.point("max_drop").figures["cost_change"].value
    assert cost < -0.15
    for name in ("verbalized", "avg_prob"):
        assert rows[name].choice.threshold is None or rows[name].point.figures["cost_change"].value > cost + 0.1


def test_questions_for_the_fit_need_no_answer_of_the_last_tier(tmp_path: Path) -> None:
    """Half of the calibration questions with split "fit" and without LLM: every figure is the same."""
    whole = two_weak_signals(tmp_path)
    frame = pd.read_parquet(whole)
    aside = (frame["split"] == "calibration") & frame["question_id"].map(lambda q: is_fit_part("d", q))
    frame.loc[aside, "split"] = "fit"
    (tmp_path / "fit").mkdir()
    frame[~(aside & (frame["tier"] == 1))].to_parquet(tmp_path / "fit" / "answers.parquet", index=False)
    found = [
        run_evaluation(config(path, rule="max_drop", signal="combined", compare=False))
        for path in (whole, tmp_path / "fit" / "answers.parquet")
    ]
    assert found[0].maps == found[1].maps
    points = [[(p.choice, p.figures) for p in each.first.points] for each in found]
    assert points[0] == points[1]
    pd.testing.assert_frame_equal(found[0].first.sweep, found[1].first.sweep)
    assert f"fitted on the {int(aside.sum()) // 2} questions of the split fit" in " ".join(found[1].notes)


def test_a_table_of_questions_for_the_fit_alone_is_refused(tmp_path: Path) -> None:
    frame = pd.read_parquet(two_weak_signals(tmp_path)).assign(split="fit")
    frame.to_parquet(tmp_path / "answers.parquet", index=False)
    with pytest.raises(UserError, match="all questions are fit"):
        run_evaluation(config(tmp_path / "answers.parquet"))


def test_the_map_in_the_operating_point_gives_the_confidence_of_the_evaluation(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path)
    results = run_evaluation(config(path, rule="max_drop", signal="combined"))
    write_files(results, tmp_path)
    document = json.loads((tmp_path / "operating_point.json").read_text())
    fitted = from_json(document["maps"]["0"])
    frame = pd.read_parquet(path)
    small = frame[frame["tier"] == 0].set_index("question_id")
    test = results.first.test
    assert test is not None
    rows = small.loc[list(test.question_id)]
    features = {
        "verbalized": rows["confidence"].to_numpy(),
        "avg_prob": rows["confidence_avg_prob"].to_numpy(),
        "length": rows["completion_tokens"].to_numpy(float),
    }
    assert fitted.features == ("verbalized", "avg_prob", "length")
    np.testing.assert_allclose(apply(fitted, features), test.confidence, rtol=0, atol=1e-12)
    assert document["distribution"]["0"]["questions"] == results.first.calibration_questions
    quantiles = document["distribution"]["0"]["quantiles"]
    assert len(quantiles) == 101
    assert quantiles == sorted(quantiles)


def test_the_recalibrated_signal_has_its_map_in_the_operating_point_too(tmp_path: Path) -> None:
    results = run_evaluation(config(two_weak_signals(tmp_path), recalibrate="isotonic"))
    write_files(results, tmp_path)
    fitted = from_json(json.loads((tmp_path / "operating_point.json").read_text())["maps"]["0"])
    assert fitted.kind == "isotonic"
    test = results.first.test
    raw = pd.read_parquet(tmp_path / "answers.parquet").query("tier == 0").set_index("question_id")["confidence"]
    mapped = apply(fitted, {"verbalized": raw.loc[list(test.question_id)].to_numpy()})
    np.testing.assert_allclose(mapped, test.confidence, rtol=0, atol=1e-12)


def test_thresholds_are_chosen_on_the_questions_that_did_not_fit_the_stack(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path)
    results = run_evaluation(config(path, signal="combined"))
    names = [f"q{i}" for i in range(1000)]
    free = [name for name in names if not is_fit_part("d", name)]
    assert results.first.calibration_questions == len(free)
    # verdicts of the other part change neither map nor confidence
    frame = pd.read_parquet(path)
    flipped = frame["question_id"].isin(free) & (frame["tier"] == 0)
    frame.assign(correct=frame["correct"] ^ flipped).to_parquet(path, index=False)
    again = run_evaluation(config(path, signal="combined"))
    assert again.maps == results.maps
    np.testing.assert_array_equal(again.first.test.confidence, results.first.test.confidence)


def test_combined_without_enough_to_fit_on_is_refused_in_one_line(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path, questions=90)
    with pytest.raises(UserError, match=r"cascade.signal=combined: needs two of verbalized, .*, length and about 80"):
        run_evaluation(config(path, signal="combined"))
    alone = pd.read_parquet(two_weak_signals(tmp_path)).drop(columns=["confidence_avg_prob", "completion_tokens"])
    alone.to_parquet(path, index=False)
    with pytest.raises(UserError, match=r"found verbalized; cascade.split_fraction"):
        run_evaluation(config(path, signal="combined"))
    with pytest.raises(ValueError, match=r"cascade.recalibrate: allowed with cascade.signal=combined"):
        CascadeConfig(name="t", signal="combined", recalibrate="platt")


def test_a_rule_without_a_threshold_names_the_signal_that_passes(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path)
    frame = pd.read_parquet(path)
    noise = np.where(frame["tier"] == 0, np.random.default_rng(1).random(len(frame)), np.nan)
    frame.assign(confidence_noise=noise).to_parquet(path, index=False)
    results = run_evaluation(config(path, rule="max_drop", signal="noise", delta=0.008))
    note = results.first.point("max_drop").choice.note
    assert "the rule finds one with the signal combined" in note
    line = advice(results)[0]
    assert line.startswith("d: use cascade.signal=combined cascade.rule=max_drop cascade.confidence=0.9 (threshold 0.")
    assert "chosen among" in line
    assert "the calibration questions show a drop of at most 0.8 points at confidence 0.9" in line


def test_advice_without_a_safe_threshold_is_the_llm_alone(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path, questions=80)
    line = advice(run_evaluation(config(path, rule="llm_accuracy", compare=False)))[0]
    assert line.startswith("d: use the LLM alone: with 50 calibration questions no threshold that keeps any answer")


def test_warnings_come_in_the_order_of_harm(tmp_path: Path) -> None:
    path = two_weak_signals(tmp_path)
    frame = pd.read_parquet(path)
    dear = frame["cost_usd"].where(frame["tier"] == 1, 9e-6)  # the small model costs nearly as much as the large one
    frame.assign(cost_usd=dear).to_parquet(path, index=False)
    found = warnings(run_evaluation(config(path, rule="fixed", threshold=0.2)))
    assert "LOSES" in found[0]
    assert "cascade.delta allows 2" in found[0]
    assert "costs" in found[1]
    assert "more than the LLM alone" in found[1]
