"""The verb corea.evaluate, as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corea.config import CascadeConfig, EvaluateConfig, NoLoggerConfig, WandbConfig
from corea.evaluate import main
from wandb_file import read_run
from warm_python import WarmPython

ROWS = [
    {"question_id": f"q{i}", "tier": tier, "correct": (i + tier) % 3 > 0, "confidence": i / 10 if tier == 0 else None,
     "cost_usd": [0.001, 0.01][tier], "split": "test" if i % 2 else "calibration"}
    for i in range(10) for tier in (0, 1)
]  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def start(warm_python: WarmPython, table: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run corea.evaluate in the folder of the table."""
    return lambda *arguments: warm_python.run("-m", "corea.evaluate", "logger=none", *arguments, cwd=table.parent)


def test_one_command(table: Path, start: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = start("answers=answers.jsonl", "out=results", "cascade.resamples=100", "plots=false")
    assert done.returncode == 0, done.stderr
    assert "Cascade against the LLM alone" in done.stdout
    assert "report: results/report.html" in done.stdout
    found = {path.name for path in (table.parent / "results").iterdir()}
    assert found >= {"metrics.json", "frontier.csv", "operating_point.json", "report.html", "evaluate.yaml"}


def test_mistakes_are_one_line(table: Path, start: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    rows = [{**row, "confidence": 1.7} if i == 4 else row for i, row in enumerate(ROWS)]
    (table.parent / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for arguments, words in (
        (["answers=bad.jsonl"], "bad.jsonl: column confidence: outside [0, 1]: row 5, first 1.7 of question q2"),
        (["answers=none.parquet"], "none.parquet: no such file"),
        (
            ["answers=answers.jsonl", "cascade.rule=best"],
            "cascade.rule=best: allowed is llm_accuracy, max_drop, budget",
        ),
    ):
        done = start(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("corea.evaluate: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
        assert not (table.parent / "metrics.json").exists()


def test_no_training_library_is_imported() -> None:
    code = (
        "import sys, corea.evaluate, corea.evaluation.regrade, corea.report.write_results, corea.evaluation.pipeline\n"
        "import corea.report.terminal, corea.logger, corea.python_api, corea.rewards, corea.publishing.model_folder\n"
        "names = 'torch transformers deepspeed vllm wandb sklearn plotly matplotlib'.split()\n"
        "print([name for name in [*names, 'scipy.stats', 'scipy.optimize'] if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_evaluating_again_replaces_the_files(table: Path) -> None:
    cfg = EvaluateConfig(
        answers=str(table),
        plots=False,
        cascade=CascadeConfig(name="fixed", rule="fixed", threshold=0.3, resamples=10),
        logger=NoLoggerConfig(),
    )
    main(cfg)
    first = json.loads((table.parent / "operating_point.json").read_text())
    cfg.cascade.threshold = 0.6
    main(cfg)
    second = json.loads((table.parent / "operating_point.json").read_text())
    assert (first["thresholds"], second["thresholds"]) == ([0.3], [0.6])


def test_wandb_gets_everything(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The offline run, read back through W&B's own messages."""
    main(
        EvaluateConfig(
            answers=str(table),
            cascade=CascadeConfig(name="test", resamples=20),
            logger=WandbConfig(mode="offline"),
        )
    )
    run = read_run(table.parent)
    assert len(run["ids"]) == 1
    curve = [row for row in run["history"] if "cascade/deferral_percent" in row]
    assert [row["cascade/deferral_percent"] for row in curve] == list(range(101))
    assert run["axes"]["cascade/all/accuracy"] == "cascade/deferral_percent"
    assert curve[0]["cascade/all/accuracy"] == pytest.approx(3 / 5)  # odd questions, i % 3 > 0
    logged = {key: value for row in run["history"] for key, value in row.items()}
    assert logged["cascade/frontier"]["_type"] == logged["cascade/rules"]["_type"] == "table-file"
    assert logged["cascade/pareto"]["_type"] == "image-file"
    assert logged["cascade/report"]["_type"] == "html-file"
    chart = run["config"]["_wandb"]["visualize"]["cascade/all/accuracy_over_cost"]["panel_config"]
    assert chart["panelDefId"] == "wandb/lineseries/v0"
    assert chart["stringSettings"]["xname"] == "cost, % of the LLM alone"
    (file,) = table.parent.glob("wandb/offline-run-*/files/media/table/cascade/all/accuracy_over_cost_table_*.json")
    drawn = pd.DataFrame(json.loads(file.read_text())["data"], columns=["x", "line", "y"])
    ends = {line: part[["x", "y"]].values.tolist() for line, part in drawn.groupby("line")}
    # 0.001 and 0.01 dollars; of questions 1, 3, 5, 7, 9 the SLM has 3 right, the LLM (i + 1) % 3 > 0 of them 4
    assert ends["SLM alone"] == pytest.approx(np.array([[10, 0.6], [100, 0.6]]))
    assert ends["LLM alone"] == pytest.approx(np.array([[10, 0.8], [100, 0.8]]))
    assert ends["random deferral"] == pytest.approx(np.array([[10, 0.6], [110, 0.8]]))
    assert ends["cascade"][0] == pytest.approx([10, 0.6])
    assert ends["cascade"][-1] == pytest.approx([110, 0.8])
    assert len(ends["cascade"]) == 7  # a threshold at each of the five confidences, and both ends
    assert run["summary"]["all/slm/accuracy"] == pytest.approx(3 / 5)
    assert (table.parent / "report.html").exists()
    assert "Models alone" in capsys.readouterr().out
