"""The script of experiments/gpu runs at toy scale on a CPU, and a second call repeats nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "gpu" / "scale.py"


def call(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_stage_of_the_gpu_script_runs_at_toy_scale(tmp_path):
    done = call("--toy", "--minutes", "60", "--out", str(tmp_path), "rollouts", "update", "profile", "plan")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert found["rollouts"]["versions"]["torch"]
    assert 0 < found["update"]["speed/mfu"] < 1
    assert found["profile"]["events"] > 100
    assert found["plan"]["peaks"][0]["predicted"] > 0
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    again = call("--toy", "--out", str(tmp_path), "rollouts", "update", "profile", "plan")
    assert "==" not in again.stdout
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == times


@pytest.mark.slow
def test_an_unknown_stage_is_named(tmp_path):
    done = call("--out", str(tmp_path / "unused"), "rolouts")
    assert done.returncode == 2
    assert "rolouts: allowed is rollouts, sleep, served, update, profile, plan" in done.stderr
