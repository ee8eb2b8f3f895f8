"""The comparison of answers tables and run folders: figures and intervals that can be checked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from answer_tables import write_jsonl
from compared_tables import random_table, rows, run_folder
from corea.comparing.comparison import Comparison, compare_runs
from corea.comparing.comparison_files import write_comparison
from corea.comparing.figure_text import difference_cell, mean_cell
from corea.config import CascadeConfig, CompareConfig
from corea.errors import UserError

LLM = [True, True, True, True, False]


def compare(*runs: Path, resamples: int = 100, **more) -> Comparison:
    cascade = CascadeConfig(name="test", resamples=resamples, **more.pop("cascade", {}))
    return compare_runs(CompareConfig(runs=[str(run) for run in runs], cascade=cascade, **more))


def row(table, **where):
    for key, value in where.items():
        table = table[table[key] == value]
    (found,) = table.to_dict("records")
    return found


def test_two_answers_tables(tmp_path):
    """Of five questions the SLM of `a` has 2 right, that of `b` has 4 right; they differ on q2 and q3."""
    stated = [0.9, 0.8, 0.7, 0.6, 0.5]
    a = write_jsonl(tmp_path / "a.jsonl", rows([True, True, False, False, False], LLM, stated))
    b = write_jsonl(tmp_path / "b.jsonl", rows([True, True, True, True, False], LLM, stated))
    found = compare(a, b, metrics=["slm/accuracy", "llm/accuracy"], resamples=4000)
    assert [group.label for group in found.groups] == ["a.jsonl", "b.jsonl"]
    means = {r["group"]: r["mean"] for r in found.table.to_dict("records") if r["metric"] == "slm/accuracy"}
    assert means == {"a.jsonl": 0.4, "b.jsonl": 0.8}
    change = row(found.differences, metric="slm/accuracy")
    assert change["difference"] == pytest.approx(0.4)
    # a resample takes five questions, of which Binomial(5, 2/5) are the two that differ: quantiles 0 and 4
    assert (change["questions_lo"], change["questions_hi"]) == pytest.approx((0.0, 0.8))
    assert np.isnan([change["seeds_lo"], change["both_lo"]]).all()
    same = row(found.differences, metric="llm/accuracy")
    assert (same["difference"], same["questions_lo"], same["questions_hi"]) == (0.0, 0.0, 0.0)


def test_a_table_without_calibration_questions_has_no_point_and_a_curve(tmp_path):
    a = write_jsonl(tmp_path / "a.jsonl", rows([True, False], [True, True], [0.9, 0.1]))
    b = write_jsonl(tmp_path / "b.jsonl", rows([False, False], [True, True], [0.9, 0.1]))
    found = compare(a, b)
    curve = found.overlay[(found.overlay["group"] == "a.jsonl") & (found.overlay["kind"] == "curve")]
    ends = curve.iloc[[0, 50, 100]][["cost_percent", "accuracy"]].to_numpy()
    assert ends == pytest.approx(np.array([[10, 0.5], [60, 1.0], [110, 1.0]]))  # 1 and 10 dollars
    assert set(found.overlay["kind"]) == {"curve", "llm"}


def test_the_interval_over_questions_is_paired(tmp_path):
    """Against a bootstrap of its own: resamples of questions, each with the verdicts of both tables."""
    paths = [random_table(tmp_path / f"{name}.jsonl", seed, gain) for name, seed, gain in (("a", 0, 0), ("b", 1, 0.1))]
    found = compare(*paths, resamples=1500, metrics=["slm/accuracy", "slm/auroc", "cascade/cost_change"])
    change = row(found.differences, metric="slm/accuracy")
    right = []
    for path in paths:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        kept = sorted((x["question_id"], x["correct"]) for x in lines if x["tier"] == 0 and x["split"] == "test")
        right.append(np.array([verdict for _, verdict in kept], float))
    drawn = np.random.default_rng(5).integers(0, 80, (6000, 80))
    own = np.quantile((right[1] - right[0])[drawn].mean(1), [0.025, 0.975])
    assert [change["questions_lo"], change["questions_hi"]] == pytest.approx(own, abs=0.0126)  # one question
    share = ((right[1] - right[0])[drawn].mean(1) <= 0).mean()
    assert change["p_questions"] == pytest.approx(2 * min(share, 1 - share), abs=0.03)
    assert change["p_holm"] == change["p_questions"]  # a single comparison
    apart = sum(side[np.random.default_rng(6).integers(0, 80, (6000, 80))].mean(1).var() for side in right)
    assert change["questions_hi"] - change["questions_lo"] < 0.95 * 2 * 1.96 * apart**0.5
    cost = row(found.differences, metric="cascade/cost_change")
    assert cost["questions_lo"] <= cost["difference"] <= cost["questions_hi"]


def test_seeds_are_averaged_and_shown_apart_from_questions(tmp_path):
    """Two settings, two seeds each, as run folders beside their answers."""
    runs = []
    for reward, gain in (("corea", 0.1), ("rlvr", 0.0)):
        for seed in (0, 1):
            folder = run_folder(tmp_path / f"{reward}{seed}", reward, seed, ece=None)
            runs.append(random_table(folder / "answers.jsonl", seed, gain).rename(folder / "answers.parquet"))
            runs[-1] = _parquet(runs[-1])
    found = compare(*runs, metrics=["slm/accuracy", "slm/ece"], reference="reward=rlvr")
    assert [(group.label, group.seeds) for group in found.groups] == [("reward=rlvr", [0, 1]), ("reward=corea", [0, 1])]
    values = found.runs.groupby("group")["slm/accuracy"].apply(list)
    assert row(found.table, group="reward=corea", metric="slm/accuracy")["mean"] == np.mean(values["reward=corea"])
    change = row(found.differences, metric="slm/accuracy")
    apart = np.subtract(values["reward=corea"], values["reward=rlvr"])
    half = 12.7062 * apart.std(ddof=1) / 2**0.5  # Student t with one degree of freedom
    assert change["difference"] == pytest.approx(apart.mean())
    assert (change["seeds_lo"], change["seeds_hi"]) == pytest.approx(
        (apart.mean() - half, apart.mean() + half), rel=1e-4
    )
    assert change["both_lo"] <= min(change["seeds_lo"], change["questions_lo"])
    assert change["both_hi"] >= max(change["seeds_hi"], change["questions_hi"])
    ece = row(found.differences, metric="slm/ece")
    assert ece["questions_lo"] < ece["questions_hi"]
    whole = found.table[found.table["group"] == "reward=corea"]
    assert whole["questions_lo"].isna().all()


def _parquet(path: Path) -> Path:
    import pandas as pd

    pd.read_json(path, lines=True).to_parquet(path, index=False)
    return path


def test_other_questions_are_refused(tmp_path):
    a = write_jsonl(tmp_path / "a.jsonl", rows([True, True, False], LLM[:3], [0.9, 0.8, 0.7]))
    b = write_jsonl(tmp_path / "b.jsonl", rows([True, True], LLM[:2], [0.9, 0.8]))
    with pytest.raises(UserError) as caught:
        compare(a, b)
    assert str(caught.value) == (
        f"{b}: dataset sums: lacks 1 of the 3 test questions of {a} (test2); differences=false compares the figures "
        "alone"
    )
    assert not len(compare(a, b, differences=False).differences)


def test_run_folders_without_answers_are_compared_by_their_figures(tmp_path):
    runs = [
        run_folder(tmp_path / f"{reward}{seed}", reward, seed, ece=ece)
        for reward, seed, ece in (("corea", 0, 0.1), ("corea", 1, 0.3), ("rlvr", 0, 0.5))
    ]
    found = compare(*runs, metrics=["slm/ece", "budget/cost_change", "training/reward"])
    one, two = (row(found.table, group=f"reward={name}", metric="slm/ece") for name in ("corea", "rlvr"))
    assert (one["mean"], one["runs"]) == (pytest.approx(0.2), 2)
    assert one["seeds_hi"] - one["mean"] == pytest.approx(12.7062 * 0.1, rel=1e-4)
    assert np.isnan(one["questions_lo"])
    assert np.isnan(two["seeds_lo"])
    assert (two["questions_lo"], two["questions_hi"]) == (0.4, 0.6)
    change = row(found.differences, metric="slm/ece")
    assert change["difference"] == pytest.approx(0.3)
    assert np.isnan([change["questions_lo"], change["seeds_lo"]]).all()  # no answers, one seed
    assert any("no answers table in corea0, corea1, rlvr0" in note for note in found.notes)
    point = row(found.overlay, group="reward=rlvr", kind="point")
    assert point["cost_percent"] == pytest.approx(75.0)
    curves = found.curves[(found.curves["group"] == "reward=corea") & (found.curves["panel"] == "Reward")]
    assert curves[curves["run"] == ""]["value"].tolist() == [1.5, 2.5, 3.5, 4.5]  # mean of step and step + 1


def test_runs_that_are_only_trained_are_compared_by_their_training(tmp_path):
    runs = [run_folder(tmp_path / name, name, ece=None) for name in ("corea", "rlvr")]
    found = compare(*runs)
    assert (found.datasets, found.metrics) == (["training"], ["training/reward", "validation/ece"])
    assert found.overlay.empty
    assert any("no run has metrics.json" in note for note in found.notes)


def test_unknown_datasets_are_refused(tmp_path):
    runs = [run_folder(tmp_path / name, name) for name in ("corea", "rlvr")]
    with pytest.raises(UserError, match=r"datasets=words: allowed is sums, pooled, training"):
        compare(*runs, datasets=["words"])


def test_the_files(tmp_path):
    runs = [run_folder(tmp_path / f"corea{seed}", seed=seed) for seed in (0, 1)] + [run_folder(tmp_path / "r", "rlvr")]
    found = compare(*runs)
    cfg = CompareConfig(runs=[str(run) for run in runs], plots=False)
    files = write_comparison(found, cfg, tmp_path / "out")
    assert {path.name for path in files.tables.values()} == {
        "comparison.csv", "runs.csv", "differences.csv", "overlay.csv", "curves.csv",
    }  # fmt: skip
    page = files.page.read_text()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [group["name"] for group in data["datasets"][0]["groups"]] == ["reward=corea", "reward=rlvr"]
    assert "3 runs compared" in page
    assert "NaN" not in json.dumps(data)


def test_cells_say_what_their_interval_includes(tmp_path):
    runs = [run_folder(tmp_path / f"corea{s}", seed=s, ece=0.1 + s / 10) for s in (0, 1)]
    found = compare(*runs, run_folder(tmp_path / "r", "rlvr"), metrics=["slm/ece", "cascade/cost_change"])
    cells = [mean_cell(r) for _, r in found.table[found.table["dataset"] == "sums"].iterrows()]
    assert cells[1] == ("0.100", "0.400 to 0.600†")
    assert "†" not in cells[0][1]
    assert cells[2][0] == "−25.0"
    assert difference_cell(found.differences.iloc[0])[0] == "−0.050"
