"""Runs composed configurations: a single job, or the jobs of a sweep, with user errors as one line on stderr."""

from __future__ import annotations

import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobStatus, run_job
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig

from corea.composition import build_job, composed, is_basic, sweep_jobs, task_overrides, typed, without_globs
from corea.config.messages import one_line, user_line
from corea.config.typed import build, require_files
from corea.display import progress, shown_as, tick
from corea.errors import Interrupted, SweepFailed, UserError
from corea.run_folder import run_dir

log = logging.getLogger(__name__)

FULL_ERROR = "HYDRA_FULL_ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """What a failed job of a sweep returns, so that the other jobs run."""

    label: str
    """Number and overrides of the job."""
    line: str
    """The error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A job that an earlier start of the sweep has finished."""

    value: Any
    """What the job returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepHooks:
    """What a verb adds to a sweep."""

    before_optimised: Callable[[Any, Any], None] | None = None
    """Called before the first job, if a sweeper chooses jobs by what they return: with the root dataclass of the values
    that all jobs share, and the configuration of the sweeper. Raises UserError."""
    after: Callable[[Path], str] | None = None
    """Folder of the sweep -> the last line of output; "" for none."""
    finished: Callable[[Any, Path], Finished | None] | None = None
    """(root dataclass, run folder) -> what the job returned when it finished there in an earlier start, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What Hydra calls with the configuration of each job. Launchers may pickle it for other processes."""

    name: str
    """Name of the command."""
    function: Callable[[Any], Any]
    """The verb, a function of its root dataclass."""
    note: str = ""
    """Log line about overrides that corea adds."""
    ready: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """Configurations that were built and checked before the first job started, by their overrides."""
    keep_going: bool = False
    """Return Failed instead of raising."""
    sweeping: bool = False
    """The job is one of a sweep."""
    hooks: SweepHooks = field(default_factory=SweepHooks)
    process: int = field(default_factory=os.getpid)
    """The process that started the command; launchers may run jobs in others."""

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the verb; a job that is not among `ready` is built here."""
        if self.sweeping:
            join_tasks()
        if self.note and os.environ.get("RANK", "0") == "0":
            log.info(self.note)
        if not self.keep_going:
            return self._run(cfg)
        try:
            return self._run(cfg)
        except Exception as error:  # whatever it is, the other jobs of the sweep do not depend on it
            line = user_line(self.name, error, sys.argv[1:])
            show = line is None or os.environ.get(FULL_ERROR) == "1"
            line = line or f"{type(error).__name__}: {error}"
            overrides = task_overrides(HydraConfig.instance().cfg)
            label = f"job {HydraConfig.get().job.num} ({', '.join(overrides)})"
            log.error("%s failed: %s", label, one_line(line), exc_info=error if show else None)
            return Failed(label=label, line=one_line(line))
        finally:
            tick()  # the bar of the sweep

    def _run(self, cfg: DictConfig) -> Any:
        root = self.ready.get(task_overrides(HydraConfig.instance().cfg))
        if root is None:
            root = build(cfg)
            require_files(root)
        done = self.hooks.finished(root, run_dir()) if self.sweeping and self.hooks.finished else None
        if done is not None:
            log.info("finished before: %s", run_dir())
            return done.value
        # Several processes draw no bars on one terminal.
        elsewhere = os.getpid() != self.process and root.display != "none"
        with shown_as("plain" if elsewhere else root.display):
            return self.function(root)


def run_single(hydra: Hydra, config_name: str, overrides: list[str], job: Job) -> None:
    """Compose, build and run one job."""
    cfg = composed(hydra, config_name, overrides, RunMode.RUN)
    root = build_job(cfg)
    require_files(root)
    job = replace(job, ready={task_overrides(cfg): root})
    callbacks = Callbacks(cfg)
    callbacks.on_run_start(config=cfg, config_name=config_name)
    done = run_job(
        # SystemExit passes through Hydra, which prints its own line about any other exception.
        task_function=lambda cfg: guarded(job.name, lambda: job(cfg)),
        config=cfg,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
    )
    callbacks.on_run_end(config=cfg, config_name=config_name, job_return=done)
    if done.status == JobStatus.FAILED:
        raise done._return_value


def run_sweep(hydra: Hydra, config_name: str, overrides: list[str], job: Job) -> None:
    """Check the configurations of all jobs, then run them with Hydra's sweeper and launcher.

    Other sweepers than Hydra's own choose the jobs as they go; of those, only the values that all jobs share are
    checked beforehand, and the sweeper decides what a failed job means.

    Raises:
        SweepFailed: some jobs failed; all have run.
    """
    mode = "hydra.mode=MULTIRUN"
    given = overrides if mode in overrides else [*overrides, mode]
    cfg = composed(hydra, config_name, given, RunMode.MULTIRUN)
    basic = is_basic(cfg)
    if not basic:
        given = without_globs(hydra.config_loader, given)
        cfg = composed(hydra, config_name, given, RunMode.MULTIRUN)
    with _fixed_order():
        ready = dict(sweep_jobs(hydra, cfg)) if basic else {}
    if not basic:
        shared = typed(hydra, config_name, fixed_overrides(given))
        if job.hooks.before_optimised is not None:
            job.hooks.before_optimised(shared, cfg.hydra.sweeper)
    for root in ready.values():
        require_files(root)
    callbacks = Callbacks(cfg)
    callbacks.on_multirun_start(config=cfg, config_name=config_name)
    sweeper = Plugins.instance().instantiate_sweeper(
        config=cfg,
        hydra_context=HydraContext(config_loader=hydra.config_loader, callbacks=callbacks),
        task_function=replace(job, ready=ready, keep_going=basic, sweeping=True),
    )
    with _sweep_bar(cfg, list(ready.values())), _refusals(cfg.hydra.sweeper._target_), _fixed_order():
        batches = sweeper.sweep(arguments=list(task_overrides(cfg)))
    callbacks.on_multirun_end(config=cfg, config_name=config_name)
    closing = job.hooks.after(Path(cfg.hydra.sweep.dir)) if job.hooks.after is not None else ""
    if closing:
        print(closing, flush=True)
    if basic:
        _report_failures(job.name, [done.return_value for batch in batches for done in batch])


@contextmanager
def _fixed_order() -> Iterator[None]:
    """Inside, shuffle(...) gives the same order each time, so that a sweep that is started again finds its folders."""
    before = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(before)


@contextmanager
def _refusals(sweeper: str) -> Iterator[None]:
    """Turn an error that a sweeper itself raises about the overrides, not one from a job, into one line."""
    try:
        yield
    except (AssertionError, NotImplementedError, ValueError) as error:
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        raised_in = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
        if not raised_in.startswith("hydra_plugins."):
            raise
        name = sweeper.rpartition(".")[2]
        raise UserError(f"{name} does not take these overrides: {one_line(str(error))}") from error


def join_tasks() -> None:
    """In a job of submitit with several tasks, set the variables by which torchrun tells a process its rank."""
    if "SUBMITIT_EXECUTOR" not in os.environ or "WORLD_SIZE" in os.environ:
        return
    from submitit import JobEnvironment, helpers

    if JobEnvironment().num_tasks > 1:
        helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)


@contextmanager
def _sweep_bar(cfg: DictConfig, roots: list[Any]) -> Iterator[None]:
    """A bar that counts the jobs, where their number is known and they run in this process, one after another."""
    if len(roots) < 2 or not cfg.hydra.launcher._target_.endswith(".BasicLauncher"):
        yield
        return
    with shown_as(roots[0].display), progress("job", len(roots), always=True):
        yield


def fixed_overrides(overrides: list[str]) -> list[str]:
    """The overrides that do not sweep."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    return [text for text, item in zip(overrides, parsed, strict=True) if not item.is_sweep_override()]


def _report_failures(name: str, results: list[Any]) -> None:
    failed = [result for result in results if isinstance(result, Failed)]
    sys.stdout.flush()
    for failure in failed:
        print(f"{name}: {failure.label}: {failure.line}", file=sys.stderr)
    if failed:
        raise SweepFailed(f"{len(failed)} of {len(results)} jobs failed")


def guarded(name: str, work: Callable[[], Any]) -> Any:
    """The value of `work()`; a user error becomes one line on stderr and SystemExit."""
    try:
        return work()
    except KeyboardInterrupt as error:
        _exit(name, str(error) if isinstance(error, Interrupted) else "interrupted", 130)
    except SweepFailed as error:
        _exit(name, str(error), 1)
    except Exception as error:
        line = user_line(name, error, sys.argv[1:])
        if line is None or os.environ.get(FULL_ERROR) == "1":
            raise
        _exit(name, line, 2)


def _exit(name: str, message: str, code: int) -> NoReturn:
    sys.stdout.flush()
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    raise SystemExit(code)
