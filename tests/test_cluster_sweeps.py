"""Sweeps by launchers that run jobs in other processes: joblib, and submitit as on a cluster."""

from __future__ import annotations

import json

import pytest

from command_line import shell

pytestmark = pytest.mark.slow
QUICK = ["plots=false", "report=false", "logger=none"]
TINY = ["trainer=debug", "trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "logger=none"]


def test_joblib_runs_jobs_side_by_side_after_checking_all_of_them(tmp_path, hand_table):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    done = shell(
        "-m", "corea.evaluate", "-m", f"answers={hand_table}", "cascade=fixed", "cascade.threshold=0.5,0.85",
        "out=results${hydra:job.num}", "hydra/launcher=local_joblib", "hydra.sweep.dir=s", *QUICK, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    points = [json.loads((tmp_path / f"results{job}" / "operating_point.json").read_text()) for job in (0, 1)]
    assert [point["thresholds"] for point in points] == [[0.5], [0.85]]
    failed = shell(
        "-m", "corea.evaluate", "-m", f"answers={hand_table},{tmp_path}/none.parquet", "cascade=fixed",
        "cascade.threshold=0.5", "out=again${hydra:job.num}", "hydra/launcher=local_joblib", "hydra.sweep.dir=s",
        *QUICK, cwd=tmp_path,
    )  # fmt: skip
    assert failed.returncode == 2  # before the first job
    assert "none.parquet: no such file" in failed.stderr


def test_submitit_trains_on_two_processes_per_job_and_skips_it_the_next_time(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    command = [
        "-m", "corea.train", "-m", "seed=3", *TINY, "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2",
        "hydra.sweep.dir=s",
    ]  # fmt: skip
    done = shell(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    run = tmp_path / "s" / "0"
    record = json.loads((run / "provenance.json").read_text())
    assert (len(record["starts"]), record["model"]) == (1, {"step": 1, "trained": 1})
    progress = json.loads((run / "checkpoints" / "step-000001" / "progress.json").read_text())
    assert progress["processes"] == 2
    again = shell(*command, cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, ""), again.stdout
    assert json.loads((run / "provenance.json").read_text()) == record
    assert "finished before" in (run / "train.log").read_text()
