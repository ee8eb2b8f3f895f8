"""Reading operating_point.json for a live cascade: what older and newer files have, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from answer_tables import config
from corea.cascade.live_point import LivePoint, read_point
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.report.result_files import write_files

PLATT = {"kind": "platt", "signal": "avg_prob", "slope": 0.0, "intercept": 0.0}
STACK = {
    "kind": "stack",
    "features": ["verbalized", "length"],
    "centre": [0.0, 0.0],
    "scale": [1.0, 1.0],
    "coefficients": [1.0, 0.0],
    "products": [],
    "missing": [0.0, 0.0],
    "intercept": 0.0,
}


def document(**point: Any) -> dict[str, Any]:
    """An operating point of one dataset, with the fields that a release of today writes at the least."""
    values = {"dataset": "d", "signal": "verbalized", "thresholds": [0.7], "rule": {"name": "fixed"}, **point}
    return {"schema": 1, "dataset": "d", "datasets": {"d": values}, "models": {"0": {}, "1": {}}}


def read(folder: Path, content: Any, dataset: str = "d") -> LivePoint:
    path = folder / "operating_point.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_point(path).point(dataset)


def test_what_the_evaluation_writes_is_read(run_folder: Path) -> None:
    results = run_evaluation(config(run_folder / "answers.parquet"))
    write_files(results, run_folder)
    file = read_point(run_folder / "operating_point.json")
    point = file.point(file.primary)
    assert (point.chain, point.deciders, point.maps) == ((0, 1), (0,), (None,))
    assert list(point.thresholds) == [results.first.point("llm_accuracy").choice.threshold]
    assert point.llm_cost_usd == pytest.approx(results.first.large["cost"].value)
    assert point.expected["deferral_rate"] == results.first.point("llm_accuracy").figures["deferral_rate"].value


def test_unknown_fields_are_passed_over_and_missing_ones_have_defaults(tmp_path: Path) -> None:
    point = read(tmp_path, {**document(confidence=0.9, distribution=[1, 2]), "sampling": {"0": {}}})
    assert (point.chain, point.thresholds, point.expected, point.llm_cost_usd) == ((0, 1), (0.7,), {}, None)


def test_the_confidence_is_the_raw_signal_or_what_its_map_makes_of_it(tmp_path: Path) -> None:
    raw = read(tmp_path, document())
    assert raw.features(0) == ("verbalized",)
    assert raw.features(1) == ()
    assert raw.confidence(0, {"verbalized": 0.7}) == 0.7
    assert raw.confidence(0, {"verbalized": 0.30000000000000004}) == 0.3  # as in an answers table
    assert raw.confidence(0, {"verbalized": None}) is None
    assert raw.confidence(0, {}) is None
    mapped = read(tmp_path, document(signal="avg_prob", recalibrate="platt", maps={"0": PLATT}))
    assert mapped.features(0) == ("avg_prob",)
    assert mapped.confidence(0, {"avg_prob": 0.9}) == 0.5  # slope 0
    assert mapped.confidence(0, {"verbalized": 0.9}) is None
    stack = read(tmp_path, document(signal="combined", maps={"0": STACK}))
    assert stack.features(0) == ("verbalized", "length")
    assert stack.confidence(0, {"verbalized": 0.8, "length": 12}) == pytest.approx(0.8)
    assert stack.confidence(0, {"verbalized": None, "length": 12}) is None


def test_the_cost_of_the_last_tier_alone_is_that_of_the_chains_or_follows_from_the_change(tmp_path: Path) -> None:
    expected = {"cost_usd": {"value": 0.03}, "cost_change": {"value": -0.25}, "costs_more_than_llm": False}
    assert read(tmp_path, document(expected=expected)).llm_cost_usd == pytest.approx(0.04)
    chains = {"d": {"alone": {"2": {"accuracy": 0.9, "cost": 0.05}}}}
    longer = document(expected=expected, thresholds=[0.7, 0.2], chain=[0, 1, 2])
    assert read(tmp_path, {**longer, "tiers": chains}).llm_cost_usd == 0.05


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read (not JSON)"),
        ([], "schema list; allowed is 1"),
        ({"datasets": {}}, "schema None; allowed is 1; write the file again with corea.evaluate"),
        ({"schema": 9, "datasets": {}}, "schema 9; allowed is 1"),
        ({"schema": 1, "datasets": {}}, "not an operating point: it names no datasets"),
        (
            document(thresholds=None, rule={"note": "too few questions"}),
            "dataset d has no threshold: too few questions",
        ),
        (document(thresholds=[0.5, 0.6]), "2 thresholds for 2 tiers"),
        (document(chain=[1, 0]), "chain [1, 0]: tiers must ascend"),
        (document(recalibrate="platt"), "the fitted map of its signal (verbalized, platt) is not in the file"),
        (document(signal="combined"), "the fitted map of its signal (combined, None) is not in the file"),
        (
            document(signal="combined", recalibrate="platt", maps={"0": STACK}),
            "a recalibration of the signal combined is not in the file",
        ),
        (document(maps={"0": {"kind": "spline"}}), "kind='spline': allowed is isotonic, platt, stack"),
        ({**document(), "models": {}}, "names no models, so its tiers are unknown"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, content)
    assert message in str(error.value)
    assert "operating_point.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset e; it has d"):
        read(tmp_path, document(), "e")
