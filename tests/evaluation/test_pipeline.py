"""A whole evaluation: figures, files, figures on disk, report, logger's copy; and the recorded answers on MATH-500."""

from __future__ import annotations

import io
import json
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from answer_tables import config, recorded, simulated, write_jsonl
from corea.config import EvaluateConfig
from corea.config.cascade_schema import RULES
from corea.errors import UserError
from corea.evaluation.ece_figures import CALIBRATION
from corea.evaluation.pipeline import run_evaluation
from corea.metrics.calibration import measure
from corea.report.result_files import FRONTIER, write_files
from corea.report.sentences import headline, warnings
from corea.report.terminal import print_summary
from corea.report.write_results import log_results, write_outputs


class Recorder:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.rows: list[tuple[int, str, dict[str, float]]] = []

    def log(self, metrics: dict[str, float], step: int, axis: str = "step") -> None:
        self.rows.append((step, axis, metrics))

    def table(self, name: str, frame: pd.DataFrame) -> None:
        self.seen[name] = frame

    def image(self, name: str, path: Path) -> None:
        self.seen[name] = Path(path).stat().st_size

    html = image

    def lines(self, name: str, frame: pd.DataFrame, title: str, x_name: str) -> None:
        self.seen[name] = frame

    def summary(self, values: dict[str, Any]) -> None:
        self.seen["summary"] = values


class Refused(MetaPathFinder):
    """Raises where one of `names` is imported."""

    names = ("torch", "sklearn", "scipy.stats", "scipy.optimize", "matplotlib.pyplot", "wandb")

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        assert fullname not in self.names, f"{fullname} takes a while to load and is not needed"


@pytest.fixture
def slow_libraries_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if any(f"{name}.".startswith(f"{refused}.") for refused in Refused.names):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Refused(), *sys.meta_path])


def test_a_run_folder_gets_everything(run_folder: Path, slow_libraries_refused: None) -> None:
    cfg = config(run_folder / "answers.parquet")
    results = run_evaluation(cfg)
    outputs = write_outputs(results, cfg)
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {"metrics.json", "frontier.csv", "frontier_non_math.csv", "operating_point.json", "report.html"}
    assert not [name for name in names if name.endswith(".tmp")]
    plots = {path.name for path in (run_folder / "plots").iterdir()}
    expected = ("pareto", "reliability", "confidence", "thresholds", "training", "signals")
    assert plots == {f"{name}.{kind}" for name in expected for kind in ("png", "svg")}
    assert all((run_folder / "plots" / name).stat().st_size > 5000 for name in plots)
    logger = Recorder()
    log_results(results, outputs, logger)
    tables = {"frontier", "rules", "metrics", "signals", "prices"}
    charts = {f"cascade/{name}/accuracy_over_cost" for name in (*results.datasets, "pooled")}
    assert set(logger.seen) >= {"summary", *charts, "cascade/pareto", *(f"cascade/{name}" for name in tables)}
    assert [step for step, *_ in logger.rows] == list(range(101))
    assert {axis for _, axis, _ in logger.rows} == {"cascade/deferral_percent"}
    summary = logger.seen["summary"]
    first = results.datasets["in_domain"]
    assert summary["in_domain/slm/ece"] == first.small.figures["ece"].value
    assert logger.rows[100][2]["cascade/in_domain/accuracy"] == pytest.approx(first.large["accuracy"].value)


def test_figures_are_those_of_the_test_split(run_folder: Path) -> None:
    frame = pd.read_parquet(run_folder / "answers.parquet")
    results = run_evaluation(config(run_folder / "answers.parquet"))
    part = frame[(frame["dataset"] == "other_math") & (frame["split"] == "test")]
    slm = part[part["tier"] == 0]
    e = results.datasets["other_math"]
    for name, value in measure(slm["confidence"].to_numpy(), slm["correct"].to_numpy()).items():
        assert e.small.figures[name].value == pytest.approx(value), name
    known = frame[(frame["dataset"] == "other_math") & (frame["split"] == "calibration") & (frame["tier"] == 1)]
    assert e.point("llm_accuracy").choice.threshold == pytest.approx(known["correct"].mean())
    before = pd.read_parquet(run_folder / "answers_before.parquet")
    before = before[(before["dataset"] == "other_math") & (before["split"] == "test")]
    old = measure(before["confidence"].to_numpy(), before["correct"].to_numpy())
    assert e.change["ece"].value == pytest.approx(e.small.figures["ece"].value - old["ece"])
    assert e.change["ece"].low < e.change["ece"].value < 0
    assert np.isnan(e.small.figures["brier_reliability"].low)
    assert [p.chosen_on for p in e.points] == ["other_math"] * len(RULES) + ["in_domain"]
    assert e.points[-1].choice.threshold == results.first.point("llm_accuracy").choice.threshold
    assert results.pooled.questions == 180
    without = ("brier_reliability", *CALIBRATION)
    figures = [f for name, f in e.small.figures.items() if name not in without]
    for figure in [*figures, *e.points[0].figures.values()]:
        assert np.isnan(figure.value) or figure.low <= figure.value <= figure.high
    for name in CALIBRATION:
        assert 0 <= e.small.figures[name].low < e.small.figures[name].high


def test_metrics_and_operating_point_files(run_folder: Path) -> None:
    results = run_evaluation(config(run_folder / "answers.parquet"))
    write_files(results, run_folder)
    metrics = json.loads((run_folder / "metrics.json").read_text())
    assert list(metrics["datasets"]) == ["in_domain", "other_math", "non_math"]
    figure = metrics["datasets"]["in_domain"]["slm"]["ece"]
    assert set(figure) == {"value", "ci95", "n"}
    assert figure["n"] == 60
    assert metrics["datasets"]["in_domain"]["slm"]["counts"]["status_ok"] == 60
    assert metrics["pooled"]["llm"]["cost_usd"]["value"] > 0
    point = json.loads((run_folder / "operating_point.json").read_text())
    assert point["dataset"] == "in_domain"
    assert point["thresholds"] == [results.first.point("llm_accuracy").choice.threshold]
    assert (point["rule"]["name"], point["signal"]) == ("llm_accuracy", "verbalized")
    assert point["calibration"]["questions"] == 60
    assert re.fullmatch(r"[0-9a-f]{64}", point["calibration"]["sha256"])
    assert set(point["expected"]) >= {"accuracy", "cost_usd", "deferral_rate"}
    assert set(point["datasets"]) == {"in_domain", "other_math", "non_math"}
    frontier = pd.read_csv(run_folder / "frontier.csv")
    assert tuple(frontier.columns) == FRONTIER
    assert frontier["on_frontier"].dtype == bool


def test_the_same_table_gives_the_same_files(run_folder: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(run_folder / "answers.parquet").sample(frac=1, random_state=0)
    frame = pd.concat([part for _, part in frame.groupby("dataset", sort=False)])
    order = ["in_domain", "other_math", "non_math"]
    frame = frame.sort_values("dataset", key=lambda s: s.map(order.index), kind="stable")
    (tmp_path / "other").mkdir()
    frame.to_parquet(tmp_path / "other" / "answers.parquet", index=False)
    for folder in (tmp_path / "a", tmp_path / "b"):
        table = run_folder / "answers.parquet" if folder.name == "a" else tmp_path / "other" / "answers.parquet"
        cfg = config(table)
        cfg.before = str(run_folder / "answers_before.parquet")
        write_files(run_evaluation(cfg), folder)
    documents = [json.loads((tmp_path / x / "metrics.json").read_text()) for x in "ab"]
    assert documents[0]["datasets"] == documents[1]["datasets"]
    assert (tmp_path / "a/frontier.csv").read_text() == (tmp_path / "b/frontier.csv").read_text()


def test_a_cascade_that_costs_more_says_so(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    rows = [{**r, "cost_usd": 9.0 if r["tier"] == 0 else 10.0} for r in hand_rows]
    cfg = config(write_jsonl(tmp_path / "answers.jsonl", rows), rule="fixed", threshold=0.85)
    results = run_evaluation(cfg)
    # 9 for each question and 10 for the 4 of 5 that are deferred: 17 against 10
    assert results.first.point("fixed").figures["cost_change"].value == pytest.approx(0.7)
    assert "COSTS 70.0 % MORE than the LLM alone" in headline(results)
    assert any("this cascade costs 70.0 % more than the LLM alone" in w for w in warnings(results))
    console = Console(width=118, file=io.StringIO())
    print_summary(results, console)
    assert "COSTS 70.0 % MORE" in console.file.getvalue()
    report = write_outputs(results, EvaluateConfig(answers=cfg.answers, plots=False, cascade=cfg.cascade)).report
    assert "COSTS 70.0 % MORE" in report.read_text()


def test_without_splits_rules_have_nothing_to_choose_on(hand_table: Path, tmp_path: Path) -> None:
    results = run_evaluation(config(hand_table))
    assert results.first.questions == 5
    assert results.first.point("fixed").figures
    assert not results.first.point("llm_accuracy").figures
    write_files(results, tmp_path)
    point = json.loads((tmp_path / "operating_point.json").read_text())
    assert point["thresholds"] is None
    assert "cascade.split_fraction" in point["rule"]["note"]
    split = run_evaluation(config(hand_table, split_fraction=0.5))
    assert split.first.questions + split.first.calibration_questions == 5
    assert split.first.point("llm_accuracy").figures


def test_frontier_without_prices_has_no_dollars(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    rows = [{k: v for k, v in r.items() if k != "cost_usd"} for r in hand_rows]
    results = run_evaluation(config(write_jsonl(tmp_path / "answers.jsonl", rows)))
    write_files(results, tmp_path)
    frontier = pd.read_csv(tmp_path / "frontier.csv")
    assert tuple(frontier.columns) == FRONTIER
    assert frontier[["cost_usd", "cost_lo", "cost_hi"]].isna().all(axis=None)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "cost_usd" not in metrics["pooled"]["llm"]
    assert metrics["pooled"]["llm"]["cost_llm_calls"]["value"] == 1.0


def test_splits_and_datasets_by_name(run_folder: Path) -> None:
    answers = run_folder / "answers.parquet"
    with pytest.raises(UserError, match=r"cascade.test_split=held_out: column split holds calibration, test"):
        run_evaluation(config(answers, test_split="held_out"))
    with pytest.raises(UserError, match=r"cascade.primary=math: allowed is in_domain, other_math, non_math"):
        run_evaluation(config(answers, primary="math"))
    assert run_evaluation(config(answers, primary="non_math")).primary == "non_math"
    frame = pd.read_parquet(answers)
    frame = frame[(frame["split"] == "calibration") | (frame["dataset"] != "non_math")]
    frame.to_parquet(run_folder / "fewer.parquet", index=False)
    (run_folder / "answers_before.parquet").unlink()
    results = run_evaluation(config(run_folder / "fewer.parquet"))
    assert list(results.datasets) == ["in_domain", "other_math"]
    assert "no test questions, left out: non_math" in results.notes


def test_the_report_stands_alone(run_folder: Path) -> None:
    cfg = config(run_folder / "answers.parquet")
    cfg.plots = False
    text = write_outputs(run_evaluation(cfg), cfg).report.read_text()
    page, data = text.split('<script type="application/json" id="data">')
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?!data:)\w", page)
    assert 'name="viewport"' in page
    charts = json.loads(data.split("</script>")[0])
    assert [d["name"] for d in charts["datasets"]] == ["in_domain", "other_math", "non_math", "pooled"]
    hover = charts["datasets"][0]["pareto"]["cascade"]["text"][3]
    assert re.match(r"threshold .*<br>sent to the LLM .* %<br>cost \$.* per 1,000 .*<br>pass@1 .* %", hover)
    assert [panel["title"] for panel in charts["training"]] == ["Reward", "ECE", "Gradient norm"]
    assert len(text) < 3_000_000


def test_hostile_names_cannot_leave_their_place(tmp_path: Path) -> None:
    now, _ = simulated(questions=20)
    now["dataset"] = '</script><img src=x onerror="alert(1)">'
    now["model"] = "<b>model</b>"
    now = now.drop_duplicates(["question_id", "tier"])
    now.to_parquet(tmp_path / "answers.parquet", index=False)
    cfg = config(tmp_path / "answers.parquet")
    cfg.plots = False
    text = write_outputs(run_evaluation(cfg), cfg).report.read_text()
    assert "<img" not in text
    assert "<b>model" not in text


@pytest.mark.parametrize("questions", [12, 40])
def test_tiny_tables_do_not_break(tmp_path: Path, questions: int) -> None:
    now, _ = simulated(questions=questions)
    now = now[now["dataset"] == "in_domain"]
    now["confidence"] = None
    now.to_parquet(tmp_path / "answers.parquet", index=False)
    cfg = config(tmp_path / "answers.parquet")
    results = run_evaluation(cfg)
    assert results.first.small.figures["missing_confidence"].value == 1.0
    assert results.first.point("llm_accuracy").figures["deferral_rate"].value == 1.0
    write_outputs(results, cfg)


PUBLISHED = {
    "base": "Base",
    "rlvr": "RLVR",
    "rlvr_classifier": "RLVR-Classifier",
    "answer_prob": "Answer-Prob",
    "rlcr": "RLCR",
}


@pytest.mark.parametrize("edges", ["lower", "linspace"])
def test_published_figures_to_the_last_digit(math500: Path, edges: str) -> None:
    published = json.loads((math500 / "published_metrics.json").read_text())
    for name, theirs in PUBLISHED.items():
        rows = recorded(math500, f"slm_{name}")
        ours = measure(rows["confidence"].to_numpy(), rows["correct"].to_numpy(), edges=edges)
        for mine, their in (("accuracy", "accuracy"), ("brier", "brier_score"), ("ece", "ece"), ("auroc", "auroc")):
            assert ours[mine] == pytest.approx(published[theirs][their], abs=1e-9), (name, mine)


def test_recorded_cascade(math500: Path, tmp_path: Path) -> None:
    small = recorded(math500, "slm_rlcr").assign(tier=0, model="7B RLCR")
    large = recorded(math500, "llm_qwen2.5_14b_instruct").assign(tier=1, model="14B")
    pd.concat([small, large]).to_parquet(tmp_path / "answers.parquet", index=False)
    results = run_evaluation(config(tmp_path / "answers.parquet"))
    sweep = results.first.sweep.set_index("threshold")
    assert len(sweep) == 16
    assert results.first.large["accuracy"].value == pytest.approx(0.804)
    for threshold, deferral, accuracy in ((0.5, 0.082, 0.494), (0.7, 0.452, 0.656), (0.8, 0.86, 0.778)):
        assert sweep.loc[threshold, "deferral_rate"] == pytest.approx(deferral, abs=1e-12)
        assert sweep.loc[threshold, "accuracy"] == pytest.approx(accuracy, abs=1e-12)
