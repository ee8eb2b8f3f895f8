"""The run folder: one process at a time, and the configuration that it holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields

import numpy as np
import pytest
import yaml

import corea
from corea.composition import compose
from corea.config import TrainerConfig
from corea.errors import UserError
from corea.run_folder import HARMLESS, lock_folder, prepare_run_dir, run_dir, use_run_dir


def test_the_run_folder_of_a_verb_started_from_python(tmp_path):
    with pytest.raises(RuntimeError, match="use_run_dir"):
        run_dir()
    with use_run_dir(tmp_path):
        assert run_dir() == tmp_path


def test_a_run_folder_says_what_ran(tmp_path):
    cfg = compose("train", "seed=7", "logger=none")
    assert prepare_run_dir(tmp_path / "run", cfg, "auto") is False
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (stored["seed"], stored["reward"]["distance"], stored["model"]["path"]) == (7, "l1", "package:tiny_slm")
    (start,) = json.loads((tmp_path / "run" / "provenance.json").read_text())["starts"]
    assert start["config"] == "config.yaml"
    assert start["seed"] == 7
    assert start["corea"] == corea.__version__
    assert start["packages"]["numpy"] == np.__version__
    assert start["cpus"] >= 1


def test_the_same_run_goes_on_and_another_is_refused(tmp_path):
    prepare_run_dir(tmp_path, compose("train"), "auto")
    harmless = ["trainer.steps=7", "trainer.save_every=3", "trainer.threads=1", "logger=none"]
    assert prepare_run_dir(tmp_path, compose("train", *harmless), "auto") is True
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]["steps"] == 7
    assert len(json.loads((tmp_path / "provenance.json").read_text())["starts"]) == 2
    before = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        prepare_run_dir(tmp_path, compose("train", "reward=brier", "seed=1"), "auto")
    assert str(caught.value).startswith(f"{tmp_path}: holds a run with another configuration: ")
    assert "reward.distance was l1, now l2" in str(caught.value)
    assert "seed was 0, now 1" in str(caught.value)
    with pytest.raises(UserError, match="already holds a run, and resume=never does not overwrite it"):
        prepare_run_dir(tmp_path, compose("train", "trainer.resume=never"), "never")
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_a_server_may_have_moved_when_a_run_goes_on(tmp_path):
    moved = [f"engine.{x}" for x in ("base_url=http://other:8000/v1", "weights=/shared", "concurrency=4")]
    prepare_run_dir(tmp_path, compose("train", "engine=vllm_server"), "auto")
    assert prepare_run_dir(tmp_path, compose("train", "engine=vllm_server", *moved), "auto") is True
    with pytest.raises(UserError, match=r"engine\._target_ was corea\.engines\.vllm\.served"):
        prepare_run_dir(tmp_path, compose("train"), "auto")


COMPUTED = {
    "engine=hf": ["trainer.packing=true", "trainer.share_prompt=false", "trainer.token_budget=77",
                  "trainer.offload=true", "trainer.zero_stage=1", "trainer.gradient_checkpointing=true",
                  "engine.batch_rows=7", "engine.graphs=true", "engine.device=cpu"],
    "engine=vllm": ["engine.max_rows=7", "engine.sleep=false", "engine.eager=true", "engine.tensor_parallel=2",
                    "engine.max_logprob_gap=null", "engine.gpu_share=0.5", "engine.cpu_cache_gib=2"],
    "engine=vllm_server": ["engine.base_urls=[http://a/v1,http://b/v1]", "engine.key_env=KEY", "engine.transfer=file"],
}  # fmt: skip
"""How and where the same figures are computed."""
FIXED = {
    "questions", "group_size", "temperature", "advantage", "credit", "resample", "loss", "optimizer", "minibatches",
    "epochs", "off_policy_steps", "lora",
}  # fmt: skip
"""Keys of `trainer` that change what is learned."""


@pytest.mark.parametrize("engine", COMPUTED)
def test_how_a_step_is_computed_may_change_when_a_run_goes_on(tmp_path, engine):
    prepare_run_dir(tmp_path, compose("train", engine))
    assert prepare_run_dir(tmp_path, compose("train", engine, *COMPUTED[engine])) is True


def test_every_key_of_the_trainer_may_change_or_changes_what_is_learned():
    harmless = {key.removeprefix("trainer.") for key in HARMLESS if key.startswith("trainer.")}
    assert {field.name for field in fields(TrainerConfig)} == harmless | FIXED
    assert not harmless & FIXED


def test_never_starts_in_a_folder_without_a_run(tmp_path):
    (tmp_path / "train.log").touch()
    assert prepare_run_dir(tmp_path, compose("train"), "never") is False


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe", b"[]"])
def test_a_broken_config_file_is_named(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        prepare_run_dir(tmp_path, compose("train"), "auto")


def test_keys_that_are_newer_than_the_run_do_not_refuse_it(tmp_path):
    cfg = compose("train")
    prepare_run_dir(tmp_path, cfg)
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del stored["trainer"]["loss"]["mask_truncated"], stored["data"]["families"]["in_domain"]["sources"][0]["limit"]
    del stored["data"]["grading"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    assert prepare_run_dir(tmp_path, cfg) is True
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    with pytest.raises(UserError, match=r"trainer\.loss\.mask_truncated was false, now true"):
        prepare_run_dir(tmp_path, compose("train", "trainer.loss.mask_truncated=true"))


def test_a_run_of_the_release_before_is_resumed(tmp_path):
    """Its keys and class names are those of that release."""
    cfg = compose("train", "trainer.validation_every=25", "trainer.optimizer.lr=1e-5")
    prepare_run_dir(tmp_path, cfg)
    stored = yaml.safe_load((tmp_path / "config.yaml").read_text())
    trainer = stored["trainer"]
    trainer["panel_every"], trainer["panel_questions"] = (
        trainer.pop("validation_every"),
        trainer.pop("validation_questions"),
    )
    stored["engine"]["_target_"] = "corea.engines.hf.HFEngine"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(stored))
    assert prepare_run_dir(tmp_path, cfg) is True
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["trainer"]["validation_every"] == 25


HOLD = """
import sys, time
from corea.run_folder import lock_folder

sys.argv = ["corea-train"]
with lock_folder(sys.stdin.readline().strip()):
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder `tmp_path`/run."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLD], text=True, **pipes)
    process.stdin.write(f"{tmp_path / 'run'}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_says_by_whom_until_that_process_dies(tmp_path, holder):
    folder = tmp_path / "run"
    with pytest.raises(UserError) as caught, lock_folder(folder):
        pass
    line = str(caught.value)
    assert line.startswith(f"{folder}: in use by process {holder.pid} on ")
    assert " (corea.train) since 20" in line
    assert line.endswith("; wait for it, or use another folder")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock_folder(folder):
        assert json.loads((folder / ".running.json").read_text())["pid"] == os.getpid()
    assert not (folder / ".running.json").exists()


def test_ranks_that_leave_the_folder_to_rank_0_do_not_lock_it(tmp_path, holder):
    with lock_folder(tmp_path / "run", enabled=False):
        pass


def test_a_mistake_leaves_no_folder_behind_and_a_result_does(tmp_path):
    with pytest.raises(UserError), lock_folder(tmp_path / "a" / "b"):
        raise UserError("mistake")
    assert not (tmp_path / "a" / "b").exists()
    (tmp_path / "mine").mkdir()
    with lock_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").exists()
    with lock_folder(tmp_path / "new"):
        (tmp_path / "new" / "result").touch()
    assert (tmp_path / "new" / "result").exists()


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("train", ["trainer=debug", "hydra.run.dir=run"]),
        ("sft", ["hydra.run.dir=run", "sft.steps=1"]),
        ("collect", ["model.path=package:tiny_slm", "hydra.run.dir=run"]),
        ("evaluate", ["answers=answers.jsonl", "out=run"]),
    ],
)
def test_the_second_process_of_every_verb_gets_one_line(tmp_path, holder, warm_python, verb, arguments):
    (tmp_path / "answers.jsonl").write_text('{"question_id": "a", "tier": 0, "correct": true}\n')
    started = time.monotonic()
    done = warm_python.run("-m", f"corea.{verb}", "logger=none", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"corea.{verb}: run: in use by process {holder.pid} on ") or (
        done.stderr.startswith(f"corea.{verb}: {tmp_path}/run: in use by process {holder.pid} on ")
    )
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - started < 100
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", ".running.json", f"{verb}.log"}
