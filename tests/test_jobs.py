"""Sweeps: the jobs of -m, their numbers and folders, and the end of those that fail."""

from __future__ import annotations

import pytest

from command_line import never
from corea.errors import Interrupted, UserError
from corea.run_folder import run_dir


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


def test_a_sweep_runs_every_job(start):
    seen = []
    code, _, err = start(lambda cfg: seen.append((cfg.seed, cfg.reward.calib)), "-m", "seed=7", "reward.calib=0,1")
    assert (code, err) == (0, "")
    assert seen == [(7, 0.0), (7, 1.0)]


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
    [("hydra/launcher=submitit_slurm", "hydra-submitit-launcher"), ("hydra/sweeper=ax", "hydra-ax-sweeper")],
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
def test_a_configuration_is_built_once_a_job(tmp_path, warm_python, overrides, jobs):
    """From the command line to the end of training."""
    tiny = ["trainer=debug", "trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "logger=none"]
    folders = ["hydra.run.dir=one", "hydra.sweep.dir=many"]
    done = warm_python.run("-c", COUNT, *tiny, *overrides, *folders, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"constructions: {jobs}"
    compares = done.stdout.splitlines()[-2] == "compare: python -m corea.compare sweep=many"
    assert compares == (jobs > 1)
