"""Signals side by side: recalibration against scikit-learn, splits kept apart, paired differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from answer_tables import config
from corea.answers.fit_part import FITTED, fit_part
from corea.answers.pairs import Pairs
from corea.answers.table import Answers
from corea.cascade.fitted_maps import apply
from corea.cascade.recalibration import FIT, recalibrated
from corea.config import CascadeConfig
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.question_sets import with_splits
from corea.metrics.calibration import measure
from corea.report.result_files import write_files

TABLE = Answers(path="answers", frame=pd.DataFrame(), datasets=[])


def overconfident(n: int = 2000) -> Pairs:
    """Right half as often as stated."""
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 11, n) / 10
    blank = np.full(n, "", object)
    return Pairs(
        dataset=np.full(n, "d", object),
        question_id=np.arange(n).astype(str).astype(object),
        split=np.where(np.arange(n) % 2, "test", "calibration").astype(object),
        confidence=np.where(np.arange(n) % 50 == 0, np.nan, confidence),
        status=blank,
        slm_correct=rng.random(n) < confidence / 2,
        llm_correct=np.ones(n, bool),
        slm_cost=np.ones(n),
        llm_cost=np.full(n, 10.0),
        unit="usd",
    )


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_recalibration_mends_an_overconfident_model(method: str) -> None:
    pairs = overconfident()
    found = recalibrated(pairs, method, CascadeConfig(name="test"))
    assert found is not None
    mapped, maps = found
    np.testing.assert_array_equal(mapped.confidence, apply(maps["d"], {"verbalized": pairs.confidence}))
    test = pairs.split == "test"
    assert measure(pairs.confidence[test], pairs.slm_correct[test])["ece"] > 0.2
    assert measure(mapped.confidence[test], mapped.slm_correct[test])["ece"] < 0.08
    assert (np.isnan(mapped.confidence) == np.isnan(pairs.confidence)).all()
    assert set(mapped.split) == {"test", "calibration", FIT}
    fitted = mapped.split == FIT
    assert 400 < fitted.sum() < 600
    assert (pairs.split[fitted] == "calibration").all()
    # verdicts of other questions change nothing
    other = overconfident()
    other.slm_correct = np.where(fitted, other.slm_correct, ~other.slm_correct)
    again = recalibrated(other, method, CascadeConfig(name="test"))
    assert again is not None
    np.testing.assert_array_equal(again[0].confidence, mapped.confidence)


def test_all_signals_in_one_table(run_folder: Path) -> None:
    frame = pd.read_parquet(run_folder / "answers.parquet")
    rng = np.random.default_rng(0)
    small = frame["tier"] == 0
    frame.loc[small, "confidence_noise"] = rng.random(small.sum())
    frame.to_parquet(run_folder / "answers.parquet", index=False)
    results = run_evaluation(config(run_folder / "answers.parquet", resamples=200))
    assert list(results.signals) == ["in_domain", "other_math", "non_math", "pooled"]
    rows = {row.name: row for row in results.signals["pooled"]}
    assert set(rows) >= {"verbalized", "noise", "verbalized, isotonic", "noise, platt"}
    own = results.pooled
    assert rows["verbalized"].figures["auroc"].value == own.small.figures["auroc"].value
    assert rows["verbalized"].figures["area_gain"].value == own.areas["area_gain"].value
    assert rows["verbalized"].p == {}
    assert rows["noise"].p["auroc"] < 0.05
    write_files(results, run_folder)
    table = pd.read_csv(run_folder / "signals.csv")
    assert set(table["dataset"]) == set(results.signals)
    point = results.first.point("llm_accuracy").figures
    first = table.iloc[0]
    assert (first["signal"], first["accuracy"]) == ("verbalized", pytest.approx(point["accuracy"].value))


def test_recalibrating_the_signal_that_is_operated(run_folder: Path, tmp_path: Path) -> None:
    answers = run_folder / "answers.parquet"
    results = run_evaluation(config(answers, recalibrate="isotonic"))
    assert 15 < results.first.calibration_questions < 45
    assert any("recalibrated (isotonic)" in note for note in results.notes)
    frame = pd.read_parquet(answers)
    (run_folder / "answers_before.parquet").unlink()
    frame[frame["split"] == "test"].to_parquet(tmp_path / "test.parquet", index=False)
    with pytest.raises(UserError, match=r"cascade.recalibrate=platt: needs 40 calibration questions"):
        run_evaluation(config(tmp_path / "test.parquet", recalibrate="platt"))


@pytest.mark.parametrize("signal", ["probe", "router"])
def test_thresholds_are_not_chosen_on_the_questions_that_fitted_the_signal(signal: str) -> None:
    pairs, notes = overconfident(), []
    divided = with_splits(pairs, CascadeConfig(name="test"), TABLE, notes, signal)
    known = pairs.split == "calibration"
    seen = fit_part(pairs.dataset, pairs.question_id)
    assert ((divided.split == FITTED) == (known & seen)).all()
    assert ((divided.split == "calibration") == (known & ~seen)).all()
    assert (divided.split[~known] == "test").all()
    assert notes == [
        f"the signal is fitted: thresholds are not chosen on the {(known & seen).sum()} questions of the fit"
    ]
    plain = with_splits(overconfident(), CascadeConfig(name="test"), TABLE, [], "verbalized")
    assert (plain.split == pairs.split).all()
