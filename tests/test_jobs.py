"""Sweeps: the jobs of -m, their numbers and folders, and the end of those that fail."""

from __future__ import annotations

import os

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from hydra.types import RunMode

from command_line import never
from corea.app import run_command_line
from corea.composition import compose, composed, composer, jobs, without_globs
from corea.config.messages import hydra_line
from corea.errors import Interrupted, UserError
from corea.jobs import Finished, SweepHooks, _fixed_order, _refusals, join_tasks
from corea.rl.run.best_checkpoint import BestCheckpoint
from corea.rl.run.final_model import write_final_model
from corea.run_folder import prepare_run_dir, run_dir
from corea.sweep_ends import finished_training


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
    [("hydra/launcher=rq", "hydra-rq-launcher"), ("hydra/sweeper=ax", "hydra-ax-sweeper")],
)
def test_a_plugin_that_is_not_installed_is_named(start, choice, package):
    code, _, err = start(never, "-m", "seed=1,2", choice)
    assert (code, err) == (2, f"corea.train: {choice}: its plugin is not installed; pip install {package}\n")


def test_the_plugin_of_a_preset_is_part_of_an_extra():
    error = MissingConfigException("?", "hydra/launcher/submitit_slurm", options=["basic"])
    line = "hydra/launcher=submitit_slurm: its plugin is not installed; pip install 'corea[sweep]'"
    assert hydra_line(error) == line


def test_a_job_that_has_finished_before_is_skipped(monkeypatch, tmp_path):
    started = []

    def work(cfg):
        started.append(cfg.seed)

    def finished(cfg, folder):
        assert folder == tmp_path / "s" / str(cfg.seed - 1)
        return Finished(value=None) if cfg.seed == 1 else None

    command = ["corea.train", "-m", "seed=1,2", f"hydra.sweep.dir={tmp_path}/s"]
    monkeypatch.setattr("sys.argv", command)
    run_command_line("train", work, SweepHooks(finished=finished))
    assert started == [2]
    assert "finished before" in (tmp_path / "s" / "0" / "train.log").read_text()
    monkeypatch.setattr("sys.argv", ["corea.train", "seed=1", f"hydra.run.dir={tmp_path}/r"])
    run_command_line("train", work, SweepHooks(finished=finished))  # no sweep
    assert started == [2, 1]


def test_training_has_finished_after_the_steps_that_are_asked_for(tmp_path):
    cfg = compose("train", "trainer=debug", "logger=none")
    assert finished_training(cfg, tmp_path) is None
    prepare_run_dir(tmp_path, cfg)
    assert finished_training(cfg, tmp_path) is None
    write_final_model(tmp_path, 2, BestCheckpoint(None), lambda folder: (folder / "config.json").write_text("{}"))
    assert finished_training(cfg, tmp_path) == Finished(value=None)
    for other in ("trainer.steps=3", "trainer.resume=never", "seed=1"):
        assert finished_training(compose("train", "trainer=debug", "logger=none", other), tmp_path) is None


def test_shuffled_values_have_the_same_order_in_every_start():
    """The order decides the numbers of the jobs and their folders: in corea's check as in Hydra's sweeper."""
    written = ["seed=shuffle(range(1,9))", "trainer.steps=shuffle(3,4,5)"]
    orders = []
    with composer("train") as hydra:
        cfg = composed(hydra, "train", written, RunMode.MULTIRUN)
        for _ in range(2):
            with _fixed_order():
                orders.append(list(jobs(hydra.config_loader, cfg)))
    with _fixed_order():
        orders += BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(written), None)
    assert orders[0] == orders[1] == orders[2]
    assert len({tuple(job) for job in orders[0]}) == 24
    assert orders[0] != sorted(orders[0])


def test_a_sweeper_gets_globs_as_choices():
    given = ["model=glob(smol*)", "seed=range(1,3)", "reward.calib=interval(0,1)", "trainer=choice(gpu,lora)"]
    with composer("train") as hydra:
        found = without_globs(hydra.config_loader, given)
    assert found == ["model=choice(smollm2,smollm2_1.7b,smollm2_360m)", *given[1:]]


def test_presets_of_launchers_start_from_those_of_the_plugins():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    with composer("train") as hydra:
        slurm, joblib = (
            composed(hydra, "train", [f"hydra/launcher={name}"], RunMode.MULTIRUN).hydra.launcher
            for name in ("slurm_8gpu", "local_joblib")
        )
    assert slurm._target_ == "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
    assert (slurm.tasks_per_node, slurm.gpus_per_node, slurm.cpus_per_task, slurm.max_num_timeout) == (8, 8, 8, 10)
    assert (joblib._target_.rpartition(".")[2], joblib.n_jobs) == ("JoblibLauncher", 2)


def test_what_a_sweeper_refuses_is_one_line():
    plugin = {"__name__": "hydra_plugins.mine"}
    exec("def refuse():\n    raise NotImplementedError('no intervals\\nhere')", plugin)
    line = r"^MySweeper does not take these overrides: no intervals here$"
    with pytest.raises(UserError, match=line), _refusals("hydra_plugins.mine.MySweeper"):
        plugin["refuse"]()
    with pytest.raises(NotImplementedError, match="a bug"), _refusals("hydra_plugins.mine.MySweeper"):
        raise NotImplementedError("a bug of a job")


def test_the_tasks_of_a_submitit_job_are_the_ranks_of_one_run(monkeypatch):
    """Two tasks on one machine."""
    submitit = pytest.importorskip("submitit")
    for key in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(key, "?")  # restored at the end
        monkeypatch.delenv(key)
    join_tasks()
    assert "RANK" not in os.environ
    given = {"EXECUTOR": "local", "LOCAL_JOB_ID": "7", "LOCAL_NTASKS": "2", "LOCAL_LOCALID": "1", "LOCAL_GLOBALID": "1"}
    for key, value in given.items():
        monkeypatch.setenv(f"SUBMITIT_{key}", value)
    join_tasks()
    assert (os.environ["RANK"], os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"]) == ("1", "1", "2")
    assert os.environ["MASTER_ADDR"] == submitit.JobEnvironment().hostnames[0]


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
    ("overrides", "count"),
    [([], 1), (["-m", "seed=0,1"], 2), (["-m", "reward=corea,rlvr", "trainer.loss.kl=0"], 2)],
)
def test_a_configuration_is_built_once_a_job(tmp_path, warm_python, overrides, count):
    """From the command line to the end of training."""
    tiny = ["trainer=debug", "trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "logger=none"]
    folders = ["hydra.run.dir=one", "hydra.sweep.dir=many"]
    done = warm_python.run("-c", COUNT, *tiny, *overrides, *folders, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"constructions: {count}"
    compares = done.stdout.splitlines()[-2] == "compare: python -m corea.compare sweep=many"
    assert compares == (count > 1)
