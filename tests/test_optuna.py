"""Sweepers that optimise: what a job returns, and sweeps/optuna.yaml with Optuna itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from corea.composition import compose
from corea.errors import UserError
from corea.run_folder import use_run_dir
from corea.sweep_ends import check_optimised
from corea.train import main

SWEEPS = Path(__file__).parents[1] / "sweeps"
TINY = ["trainer=debug", "trainer.validation_every=1", "trainer.validation_questions=16", "logger=none"]


@pytest.mark.parametrize(
    ("overrides", "direction", "line"),
    [
        (["trainer.best_by=cascade_area"], "maximize", None),
        (["trainer.best_by=ece"], "minimize", None),
        (["trainer.best_by=ece"], None, None),
        ([], "maximize", "trainer.best_by=null: this sweeper optimises what a job returns"),
        (
            ["trainer.best_by=brier"],
            "maximize",
            "hydra.sweeper.direction=maximize: allowed with trainer.best_by=brier is m",
        ),
        (
            ["trainer.best_by=pass@1"],
            "minimize",
            "hydra.sweeper.direction=minimize: allowed with trainer.best_by=pass@1 i",
        ),
        (
            ["trainer.best_by=auroc", "trainer.steps=40"],
            "maximize",
            "trainer.validation_every=50: allowed with this sweeper is a number from 1 to trainer.steps=40",
        ),
    ],
)
def test_a_sweeper_gets_a_figure_and_the_right_direction(overrides, direction, line):
    cfg = compose("train", *overrides)
    if line is None:
        check_optimised(cfg, {"direction": direction})
        return
    with pytest.raises(UserError) as caught:
        check_optimised(cfg, {"direction": direction})
    assert str(caught.value).startswith(line)


@pytest.mark.slow
@pytest.mark.parametrize(("by", "best"), [("ece", min), ("pass@1", max)])
def test_a_job_returns_its_best_validation_value(tmp_path, by, best):
    cfg = compose("train", *TINY, f"trainer.best_by={by}", "trainer.steps=3")
    with use_run_dir(tmp_path):
        value = main(cfg)
        lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
        assert value == best(line[f"validation/{by}"] for line in lines)  # no confidence is missing
        assert main(cfg) == value  # a finished run, continued
    assert {line["validation/missing_confidence_share"] for line in lines} == {0.0}


@pytest.mark.slow
def test_without_best_by_a_job_returns_nothing(tmp_path):
    with use_run_dir(tmp_path):
        assert main(compose("train", *TINY, "trainer.steps=1")) is None


@pytest.mark.slow
def test_optuna_runs_two_trials(tmp_path, warm_python):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    done = warm_python.run(
        "-m", "corea.train", "-m", "--config-dir", str(SWEEPS), "--config-name", "optuna", *TINY,
        "hydra.sweeper.n_trials=2", "hydra.sweep.dir=s", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = yaml.safe_load((tmp_path / "s" / "optimization_results.yaml").read_text())
    assert results["best_params"].keys() == {"trainer.optimizer.lr", "reward.calib"}
    records = [json.loads((tmp_path / "s" / job / "provenance.json").read_text())["model"] for job in ("0", "1")]
    assert results["best_value"] == max(record["value"] for record in records)
    stored = [yaml.safe_load((tmp_path / "s" / job / "config.yaml").read_text()) for job in ("0", "1")]
    tried = [cfg["trainer"]["optimizer"]["lr"] for cfg in stored]
    assert results["best_params"]["trainer.optimizer.lr"] in tried
    assert tried[0] != tried[1]
    assert done.stdout.splitlines()[-1] == "compare: python -m corea.compare sweep=s"
