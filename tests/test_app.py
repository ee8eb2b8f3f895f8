"""Exit codes and the one line on stderr, through Hydra's own command line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corea.app import command
from corea.errors import Interrupted, UserError
from corea.run_folder import run_dir

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture
def start(tmp_path, monkeypatch, capsys):
    """Run a verb made of `work` with arguments; returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(work, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["corea.train", *arguments])
        main = command("train")(work)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except Exception:  # the interpreter would print the traceback and exit with 1
            code = 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_several_processes_need_a_folder_that_they_name_alike(start, tmp_path):
    def work(cfg):
        print(run_dir(shared=True))

    code, _, err = start(work)
    assert code == 2
    assert err.startswith("corea.train: hydra.run.dir: its default contains the time")
    assert err.count("\n") == 1
    assert start(work, f"hydra.run.dir={tmp_path}/named") == (0, f"{tmp_path}/named\n", "")


def test_the_flag_of_the_deepspeed_launcher_is_let_pass(start):
    assert start(lambda cfg: print(cfg.seed), "--local_rank=1", "seed=7")[:2] == (0, "7\n")
    assert "unrecognized arguments: --local=1" in start(never, "--local=1")[2]


def never(cfg):
    raise AssertionError("must not run")


def shell(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


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


@pytest.mark.parametrize("verb", ["train", "sft", "collect", "evaluate"])
def test_help_lists_the_groups_and_their_choices(verb):
    command = [sys.executable, "-m", f"corea.{verb}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "logger: jsonl, none, wandb" in done.stdout
    assert done.stderr == ""


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
         "what was there before still stands"),
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


def test_an_interruption_ends_a_sweep(start):
    started = []

    def work(cfg):
        started.append(cfg.seed)
        raise Interrupted("broken")

    got, _, err = start(work, "-m", "seed=1,2")
    assert (got, err, started) == (130, "corea.train: broken\n", [1])


def test_a_failed_job_does_not_end_the_others(start, tmp_path):
    started = []

    def work(cfg):
        started.append(cfg.seed)
        if cfg.seed == 1:
            raise UserError("x.jsonl: row 3\nis broken")
        if cfg.seed == 3:
            raise KeyError("a bug")

    code, out, err = start(work, "-m", "seed=1,2,3", "reward.calib=0", f"hydra.sweep.dir={tmp_path}/s")
    assert (code, started) == (1, [1, 2, 3])
    assert err.splitlines() == [
        "corea.train: job 0 (seed=1, reward.calib=0): x.jsonl: row 3 is broken",
        "corea.train: job 2 (seed=3, reward.calib=0): KeyError: 'a bug'",
        "corea.train: 2 of 3 jobs failed",
    ]
    assert "Traceback" in out  # of the bug
    assert "row 3 is broken" in (tmp_path / "s" / "0" / "train.log").read_text()


def test_all_batches_of_a_sweep_run(start):
    started = []

    def work(cfg):
        started.append(cfg.seed)
        raise UserError("broken")

    assert start(work, "-m", "seed=1,2", "hydra.sweeper.max_batch_size=1")[0] == 1
    assert started == [1, 2]


def test_all_jobs_of_a_sweep_are_checked_before_the_first_starts(start):
    code, _, err = start(never, "-m", "seed=1,2", "trainer.steps=5,0")
    assert (code, err) == (2, "corea.train: trainer.steps=0: allowed is a number >= 1\n")


def test_the_number_of_a_job_is_known_to_its_configuration(start, tmp_path):
    seen = []

    def work(cfg):
        seen.append((cfg.model.name, run_dir().name))

    code, _, err = start(work, "-m", "seed=1,2", "model.name=m${hydra:job.num}", f"hydra.sweep.dir={tmp_path}/s")
    assert (code, err) == (0, "")
    assert seen == [("m0", "0"), ("m1", "1")]
    assert start(work, "model.name=m${hydra:job.num}", f"hydra.run.dir={tmp_path}/r")[0] == 0
    assert seen[-1] == ("m0", "r")


@pytest.mark.parametrize(
    ("choice", "package"),
    [("hydra/launcher=submitit_slurm", "hydra-submitit-launcher"), ("hydra/sweeper=optuna", "hydra-optuna-sweeper")],
)
def test_a_plugin_that_is_not_installed_is_named(start, choice, package):
    code, _, err = start(never, "-m", "seed=1,2", choice)
    assert (code, err) == (2, f"corea.train: {choice}: its plugin is not installed; pip install {package}\n")


COUNT = """
import atexit, sys
from corea.config import trainer_schema
counted = []
original = trainer_schema.LossConfig.__post_init__
trainer_schema.LossConfig.__post_init__ = lambda self: (counted.append(self), original(self))[1]
atexit.register(lambda: print("constructions:", len(counted)))
from corea.train import main
sys.argv = ["corea.train", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("overrides", "jobs"),
    [([], 1), (["-m", "seed=0,1"], 2), (["-m", "reward=corea,rlvr", "trainer.loss.kl=0"], 2)],
)
def test_a_configuration_is_built_once_a_job(tmp_path, overrides, jobs):
    """From the command line to the end of training."""
    tiny = ["trainer=debug", "trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "logger=none"]
    done = shell("-c", COUNT, *tiny, *overrides, "hydra.run.dir=one", "hydra.sweep.dir=many", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"constructions: {jobs}"


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


def test_a_sweep_runs_every_job(start):
    seen = []
    code, _, err = start(lambda cfg: seen.append((cfg.seed, cfg.reward.calib)), "-m", "seed=7", "reward.calib=0,1")
    assert (code, err) == (0, "")
    assert seen == [(7, 0.0), (7, 1.0)]


def test_help_lists_groups_but_no_schema(start):
    code, out, err = start(never, "--help")
    assert (code, err) == (0, "")
    assert "reward: brier, corea, kl_group" in out
    assert "_train" not in out
    assert "_hf_engine" not in out


def test_other_flags_of_hydra(start):
    assert "tiny_slm" in start(never, "--cfg", "job", "--package", "model")[1]
    assert "reward" in start(never, "--info", "defaults")[1]
    assert "== Flags ==" in start(never, "--hydra-help")[1]


def test_a_trainer_that_the_model_brings_along_is_said_once(start):
    code, out, err = start(lambda cfg: print(cfg.trainer.name), "model=qwen0.5b")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "model=qwen0.5b: using trainer=gpu, since trainer=tiny suits only the tiny model; trainer=NAME overrides this",
        "gpu",
    ]
    assert start(lambda cfg: print(cfg.trainer.name), "model=qwen0.5b", "trainer=lora")[1] == "lora\n"
    assert start(lambda cfg: print(cfg.trainer.name), "model=tiny")[1] == "tiny\n"
    assert "model=NAME also sets trainer=gpu" in start(never, "--help")[1]


BLOCK = """
import importlib.abc, runpy, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "datasets", "huggingface_hub", "requests", "httpx", "wandb"}:
            raise AssertionError(f"imports {name}")

sys.meta_path.insert(0, Block())
sys.argv = ["corea", *sys.argv[1:]]
runpy.run_module("corea." + sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "model=qwen1.5b", "reward.calib=0.5"],
        ["sft"],
        ["collect", "llm=qwen32b"],
        ["evaluate", "answers=answers.parquet"],
    ],
)
def test_showing_a_configuration_imports_nothing_heavy_and_asks_nobody(tmp_path, arguments):
    done = shell("-c", BLOCK, *arguments, "--cfg", "job", "--resolve", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "???" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    if arguments[0] == "train":
        assert "path: Qwen/Qwen2.5-1.5B-Instruct" in done.stdout
        assert "calib: 0.5" in done.stdout


def test_from_a_shell(tmp_path):
    done = shell("-m", "corea.train", "reward.clib=1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("corea.train: reward.clib=1: no such key; the keys of reward are")
    assert done.stderr.count("\n") == 1
    done = shell("-m", "corea.train", "reward.clib=1", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert "Traceback" in done.stderr
