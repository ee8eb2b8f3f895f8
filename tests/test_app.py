"""Exit codes and the one line on stderr, through Hydra's own command line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from command_line import never, shell
from corea.app import command
from corea.errors import Interrupted, UserError
from corea.run_folder import run_dir


def test_several_processes_need_a_folder_that_they_name_alike(start, tmp_path):
    def work(cfg):
        print(run_dir(shared=True))

    code, _, err = start(work)
    assert code == 2
    assert err.startswith("corea.train: hydra.run.dir: its default contains the time")
    assert err.count("\n") == 1
    assert start(work, f"hydra.run.dir={tmp_path}/named") == (0, f"{tmp_path}/named\n", "")


def test_the_flag_of_the_deepspeed_launcher_is_accepted(start):
    assert start(lambda cfg: print(cfg.seed), "--local_rank=1", "seed=7")[:2] == (0, "7\n")
    assert "unrecognized arguments: --local=1" in start(never, "--local=1")[2]


def test_the_verb_gets_its_dataclass_and_its_folder(start, tmp_path):
    seen = []

    def work(cfg):
        seen.append((type(cfg).__name__, cfg.reward.calib, cfg.trainer.steps, run_dir(), Path.cwd()))

    code, _, err = start(work, "reward.calib=0.5", "trainer=debug", "hydra.run.dir=here")
    assert (code, err) == (0, "")
    assert seen == [("TrainConfig", 0.5, 2, tmp_path / "here", tmp_path)]


def test_a_dataclass_can_be_passed_instead():
    seen = []
    command("train")(seen.append)("configuration")
    assert seen == ["configuration"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reward.clib=1"], "corea.train: reward.clib=1: no such key"),
        (["trainer.steps=abc"], "corea.train: trainer.steps=abc: allowed is an integer"),
        (["trainer.steps=0"], "corea.train: trainer.steps=0: allowed is a number >= 1"),
        (["model=nope"], "corea.train: model=nope: no such choice; allowed is"),
        (["reward.calib"], "corea.train: 'reward.calib' is not an override"),
        (["--cfg", "job", "trainer.steps=0"], "corea.train: trainer.steps=0: allowed"),
        (["--cfg", "job", "reward.clib=1"], "corea.train: reward.clib=1: no such key"),
        (["-m", "seed=0,1", "trainer.steps=1,0"], "corea.train: trainer.steps=0: allowed"),
        (["-m", "model=qwen3b,nope"], "corea.train: model=nope: no such choice"),
        (["-m", "model=glob(zz*)"], "corea.train: model=glob(zz*): has no value; a sweep needs at least one"),
        (["-m", "seed=interval(0,1)"], "corea.train: seed=interval(0,1): give the values of a sweep as a list"),
        (["seed=0,1"], "corea.train: seed=0,1: several values need -m"),
        (["--stepz"], "corea.train: unrecognized arguments: --stepz"),
        (["--cfg", "jobs"], "corea.train: argument --cfg/-c: invalid choice: 'jobs'"),
        (["--resolve"], "corea.train: --resolve goes with --cfg job"),
        (["--config-name", "nope"], "corea.train: Cannot find primary config 'nope'"),
        (["--config-dir", "nope"], "corea.train: --config-dir nope: no such folder"),
        (["--experimental-rerun", "x.pickle"], "corea.train: --experimental-rerun is not supported"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_started_or_written(start, tmp_path, arguments, words):
    code, out, err = start(never, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(words)
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_of_the_users_own(start, tmp_path):
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text("name: [mine\n")
    code, _, err = start(never, "--config-dir", "own", "model=mine")
    assert code == 2
    assert "mine.yaml" in err
    assert err.count("\n") == 1


def test_an_own_folder_adds_choices(start, tmp_path):
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text("name: mine\npath: ./weights\n")
    seen = []
    code, _, err = start(lambda cfg: seen.append(cfg.model.path), "model=mine", "--config-dir", "own", "seed=3")
    assert (code, err, seen) == (0, "", ["./weights"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("x.jsonl: row 3\nis broken"), 2, "x.jsonl: row 3 is broken"),
        (FileNotFoundError(errno.ENOENT, "?", "a.parquet"), 2, "a.parquet: no such file or directory"),
        (PermissionError(errno.EACCES, "?", "a.parquet"), 2, "a.parquet: permission denied"),
        (OSError(errno.ENOSPC, "?", "a.parquet"), 2, "no space left on the disk while writing a.parquet; "
         "existing files are unchanged"),
        (ModuleNotFoundError("?", name="torch.nn"), 2, "corea.train needs the training extras: "
         "pip install 'corea[train]' (torch.nn is not installed)"),
        (Interrupted("stopped at step 3"), 130, "stopped at step 3"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)  # fmt: skip
def test_errors_of_a_run(start, error, code, line):
    def work(cfg):
        raise error

    got, _, err = start(work)
    assert (got, err) == (code, f"corea.train: {line}\n")


@pytest.mark.parametrize("bug", [ValueError("a bug"), ModuleNotFoundError("?", name="corea.nope"), KeyError("a bug")])
def test_a_bug_is_not_hidden(start, bug):
    def work(cfg):
        raise bug

    assert start(work)[0] == 1


def test_the_escape_hatch_is_not_inherited(start):
    seen = []
    start(lambda cfg: seen.append(os.environ.get("HYDRA_FULL_ERROR")))
    assert seen == [None]
    assert "HYDRA_FULL_ERROR" not in os.environ


def test_from_a_shell(tmp_path):
    done = shell("-m", "corea.train", "reward.clib=1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("corea.train: reward.clib=1: no such key; the keys of reward are")
    assert done.stderr.count("\n") == 1
    done = shell("-m", "corea.train", "reward.clib=1", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert "Traceback" in done.stderr
