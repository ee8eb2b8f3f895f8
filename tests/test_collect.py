"""python -m corea.collect from the command line."""

import json

import pytest

from corea.answers.table import read_answers
from corea.composition import compose
from corea.run_folder import prepare_run_dir


@pytest.fixture
def collect(warm_python):
    """Run corea.collect in a process of its own."""
    return lambda *overrides: warm_python.run("-m", "corea.collect", "logger=none", *overrides)


@pytest.fixture
def mistake(collect):
    """The line of a command that must fail."""

    def run(*overrides) -> str:
        done = collect(*overrides)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    return run


@pytest.fixture
def run(tmp_path):
    prepare_run_dir(tmp_path / "run", compose("train", "logger=none"))
    return tmp_path / "run"


def test_a_run_without_a_model(run, mistake):
    assert "no model/ in this run folder (nothing was trained there)" in mistake(f"run={run}")
    assert not (run / "collect.yaml").exists()


def test_recorded_answers(tmp_path, collect, mistake):
    files = []
    for name in ("small", "large"):
        row = {"question_id": "a", "text": "", "recorded_correct": 1, "recorded_confidence": 0.5}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row))
        files.append(str(tmp_path / f"{name}.jsonl"))
    tiers = f"engine.tiers=[{','.join(files)}]"
    done = collect("engine=replay", tiers, f"hydra.run.dir={tmp_path / 'out'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path / "out" / "answers.parquet") in done.stdout
    assert len(read_answers(tmp_path / "out" / "answers.parquet").frame) == 2
    assert (tmp_path / "out" / "collect.yaml").exists()
    (tmp_path / "large.jsonl").write_text(json.dumps({"question_id": "b", "recorded_correct": 1}))
    line = mistake("engine=replay", tiers, f"hydra.run.dir={tmp_path / 'out'}")
    assert line == f"corea.collect: {tmp_path}/large.jsonl: 1 question ids that are not in {tmp_path}/small.jsonl: b\n"
    assert len(read_answers(tmp_path / "out" / "answers.parquet").frame) == 2  # what was there still stands
