"""The decision of a cascade and the operating point that it is taken with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from answer_tables import config
from corea.cascade.decision import EVERYTHING, decide, deferred, deferred_count
from corea.cascade.operating_point import SCHEMA, DatasetPoint, OperatingPoint
from corea.errors import UserError
from corea.evaluation.operation import operating_point, with_relative_paths
from corea.evaluation.pipeline import run_evaluation
from corea.report.result_files import write_files

CONFIDENCES = st.lists(st.one_of(st.just(float("nan")), st.floats(0, 1)), max_size=30)


def point(thresholds: list[float] | None, note: str = "") -> DatasetPoint:
    return DatasetPoint(
        dataset="d",
        signal="verbalized",
        recalibrate="none",
        thresholds=thresholds,
        rule={"name": "fixed", "note": note},
        calibration={},
        expected={},
    )


def test_a_question_is_deferred_below_the_threshold_and_without_a_confidence() -> None:
    confidence = [0.0, 0.69, 0.7, 0.71, 1.0, np.nan]
    assert deferred(confidence, 0.7).tolist() == [True, True, False, False, False, True]
    assert deferred(confidence, 0.0).tolist() == [False] * 5 + [True]
    assert deferred(confidence, EVERYTHING).all()
    assert decide(confidence, point([0.7])).tolist() == [False, False, True, True, True, False]
    assert not decide(0.3, point([0.7]))


def test_each_tier_has_its_threshold_and_the_last_one_keeps_everything() -> None:
    chain = point([0.7, 0.2])
    assert decide([0.5, np.nan], chain, position=0).tolist() == [False, False]
    assert decide([0.5, np.nan], chain, position=1).tolist() == [True, False]
    assert decide([0.5, np.nan], chain, position=2).tolist() == [True, True]


def test_an_operating_point_without_a_threshold_decides_nothing() -> None:
    with pytest.raises(UserError, match="operating point of d: no threshold: too few questions"):
        decide(0.5, point(None, note="too few questions"))


@given(CONFIDENCES, st.lists(st.floats(0, 1.01), max_size=5))
def test_counting_by_bisection_is_counting_one_by_one(values: list[float], thresholds: list[float]) -> None:
    missing_first = np.array(sorted(values, key=lambda v: -1.0 if np.isnan(v) else v))
    counts = deferred_count(missing_first, np.array(thresholds))
    assert counts.tolist() == [int(deferred(values, t).sum()) for t in thresholds]


def test_the_file_of_an_evaluation_reads_back_as_the_same_point(run_folder: Path) -> None:
    results = run_evaluation(config(run_folder / "answers.parquet"))
    write_files(results, run_folder)
    document = json.loads((run_folder / "operating_point.json").read_text())
    assert document["schema"] == SCHEMA
    read = OperatingPoint.from_json(document)
    assert read == operating_point(results)
    assert read.datasets["in_domain"].thresholds == [results.first.point("llm_accuracy").choice.threshold]
    assert document["thresholds"] == read.datasets["in_domain"].thresholds
    test = results.first.test
    kept = decide(test.confidence, read.datasets["in_domain"])
    assert 1 - kept.mean() == pytest.approx(results.first.point("llm_accuracy").figures["deferral_rate"].value)


def test_local_models_are_named_relative_to_the_file(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    point = operating_point(run_evaluation(config(run_folder / "answers.parquet")))
    point.models = {"0": {"path": str(tmp_path / "run" / "model")}, "1": {"path": "package:tiny_llm"}, "2": {}}
    moved = with_relative_paths(point, tmp_path / "run")
    assert moved.models == {"0": {"path": "model"}, "1": {"path": "package:tiny_llm"}, "2": {}}
    assert moved.datasets == point.datasets


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "p.json: schema list; allowed is 1"),
        ({"datasets": {}}, "p.json: schema None; allowed is 1"),
        ({"schema": 1, "datasets": {}}, "p.json: not an operating point: 'dataset'"),
        ({"schema": 1, "dataset": "d", "datasets": {"d": {"signal": 1}}}, "p.json: not an operating point"),
    ],
)
def test_other_files_are_refused_in_one_line(document: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        OperatingPoint.from_json(document, "p.json")
    assert "\n" not in str(error.value)
