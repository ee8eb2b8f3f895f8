"""corea.evaluate_table: results as pandas and plotly objects, the same as those of the command."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import corea
from answer_tables import config, simulated
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.report.result_files import write_files

FEW = {"resamples": 20}


@pytest.fixture(scope="module")
def results() -> corea.Results:
    now, before = simulated(20)
    return corea.evaluate_table(now, before=before, rule="max_drop", delta=0.1, confidence=None, **FEW)


def test_figures_of_a_table_by_hand(hand_rows):
    """Below 0.85 are b, c, d and e: the LLM is right on b and d, the small model on a; 5 * 1 + 4 * 10 for five."""
    found = corea.evaluate_table(pd.DataFrame(hand_rows), rule="fixed", threshold=0.85, **FEW)
    assert found.threshold == 0.85
    (row,) = found.rules[found.rules["rule"] == "fixed"].to_dict("records")
    assert (row["accuracy"], row["deferral_rate"], row["cost_usd"]) == pytest.approx((3 / 5, 4 / 5, 9.0))
    alone = found.figures.set_index(["system", "metric"])["value"]
    assert alone["slm", "accuracy"] == pytest.approx(2 / 5)
    assert alone["llm", "cost"] == pytest.approx(10.0)
    assert found.curve["deferral_rate"].tolist() == pytest.approx([0.2, 0.2, 0.4, 0.8, 1.0])  # e is always deferred
    assert found.reliability["n"].sum() == 4  # e states no confidence
    assert found.datasets == ["all"]


def test_a_path_gives_what_the_command_writes(hand_table, tmp_path):
    write_files(run_evaluation(config(hand_table, rule="fixed", resamples=20)), tmp_path / "command")
    write_files(corea.evaluate_table(hand_table, rule="fixed", **FEW).details, tmp_path / "python")
    for name in ("metrics.json", "frontier.csv", "operating_point.json"):
        assert (tmp_path / "python" / name).read_text() == (tmp_path / "command" / name).read_text()


def test_a_table_from_memory_gives_the_same_as_its_file(results, tmp_path):
    now, before = simulated(20)
    now.to_parquet(tmp_path / "now.parquet")
    before.to_json(tmp_path / "before.jsonl", orient="records", lines=True)
    files = corea.evaluate_table(
        tmp_path / "now.parquet", before=tmp_path / "before.jsonl", rule="max_drop", delta=0.1, confidence=None, **FEW
    )
    pd.testing.assert_frame_equal(files.figures, results.figures)
    assert files.operating_point["thresholds"] == results.operating_point["thresholds"] == [results.threshold]


def test_what_a_notebook_shows(results):
    page = results._repr_html_()
    assert page.count("<table>") == 3
    assert "<b>in_domain</b>, 20 test questions" in page
    assert results.headline.startswith("in_domain: ")
    assert repr(results).splitlines()[0] == f"corea.Results: {results.headline}"
    assert len(results.advice) == 3


def test_a_name_from_the_table_cannot_break_the_page(hand_rows):
    table = pd.DataFrame(hand_rows).assign(dataset="<script>alert(1)</script>")
    page = corea.evaluate_table(table, rule="fixed", **FEW)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_plots_show_the_tables(results):
    line = next(t for t in results.plot_curve().data if t.name == "cascade")
    curve = results.curve[results.curve["dataset"] == "in_domain"]
    np.testing.assert_allclose(line.y, curve["accuracy"])
    assert results.plot_curve("other_math").layout.title.text == "other_math (20 test questions)"
    bins = next(t for t in results.plot_reliability("non_math").data if t.name == "after RL")
    table = results.reliability.query("dataset == 'non_math' and when == 'after'")
    np.testing.assert_allclose(bins.y, table["accuracy"])
    assert list(bins.customdata) == table["n"].tolist()
    lines = results.plot_thresholds().layout.shapes
    assert [shape.x0 for shape in lines if shape.x0 == shape.x1] == [results.threshold]
    with pytest.raises(UserError, match="dataset=other: allowed is in_domain, other_math, non_math, pooled"):
        results.plot_curve("other")


def test_other_forms_of_tables(hand_rows):
    rows = pd.DataFrame(hand_rows)
    expected = corea.evaluate_table(rows, rule="fixed", **FEW).figures
    renamed = rows.rename(columns={"correct": "is_right"}).assign(confidence=rows["confidence"] * 100)
    renamed = renamed.set_index("question_id")
    found = corea.evaluate_table(renamed, columns={"correct": "is_right"}, confidence_scale=100, rule="fixed", **FEW)
    pd.testing.assert_frame_equal(found.figures, expected)
    wide = rows.pivot(index="question_id", columns="tier", values=["correct", "confidence", "cost_usd"])
    wide.columns = [f"{name}_{tier}" for name, tier in wide.columns]
    wide = wide.drop(columns="confidence_1").astype({"correct_0": bool, "correct_1": bool}).astype(
        {"confidence_0": float, "cost_usd_0": float, "cost_usd_1": float}
    )  # fmt: skip
    tiers = [
        {"name": "s", "correct": "correct_0", "confidence": "confidence_0", "cost_usd": "cost_usd_0"},
        {"name": "l", "correct": "correct_1", "cost_usd": "cost_usd_1"},
    ]
    found = corea.evaluate_table(wide, tiers=tiers, rule="fixed", **FEW)
    pd.testing.assert_frame_equal(found.figures, expected)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"confidence": 1.7}, {}, r"^table: column confidence: outside \[0, 1\]: 10 rows"),
        ({"tier": 1}, {}, "^table: column question_id: duplicate key"),
        ({"correct": [True, "x"] * 5}, {}, "^table: .*; a column holds values of one type"),
        ({}, {"treshold": 0.4}, r"treshold"),
        ({}, {"rule": "best"}, "cascade.rule=best: allowed is llm_accuracy, max_drop"),
        ({}, {"prices": [{"in": 1}]}, r"prices=\[in\]: allowed is the keys for input, cached, output"),
        ({}, {"before": "nowhere.parquet"}, "nowhere.parquet: no such file"),
    ],
)
def test_mistakes_are_named(hand_rows, change, options, message):
    with pytest.raises(ValueError, match=message):
        corea.evaluate_table(pd.DataFrame(hand_rows).assign(**change), **FEW, **options)


def test_importing_corea_is_light():
    code = (
        "import sys, corea; heavy = ('numpy', 'pandas', 'torch', 'plotly', 'hydra', 'corea.config')\n"
        "print([m for m in heavy if m in sys.modules], hasattr(corea, 'nothing'), 'evaluate_table' in dir(corea))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] False True\n"


def test_the_documented_names_exist():
    assert corea.__all__ == ["Results", "__version__", "evaluate_table"]
    public = {name for name in dir(corea.Results) if not name.startswith("_")}
    assert public == {
        *("details", "headline", "advice", "warnings", "datasets", "threshold", "operating_point"),
        *("figures", "rules", "curve", "reliability", "signals", "chains"),
        *("plot_curve", "plot_thresholds", "plot_reliability", "write"),
    }


@pytest.mark.slow
def test_the_files_of_the_command_can_be_written(results, tmp_path):
    page = results.write(tmp_path / "new")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    found = {path.name for path in (tmp_path / "new").iterdir()}
    assert {"metrics.json", "frontier.csv", "operating_point.json", "report.html"} <= found
