"""The command line of every verb: Hydra's, with user errors as one line on stderr and exit code 2.

Exit codes: 0 done, 1 a bug (with its traceback) or a sweep with failed jobs, 2 a user error, 130 interrupted.
HYDRA_FULL_ERROR=1 shows the traceback of every error.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import re
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from typing import Any, TypeVar

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.utils import env_override

from corea.composition import VERSION_BASE, composer, conf_dir, typed, with_task_path, with_trainer
from corea.config.deprecated import current_overrides
from corea.display import shown_as
from corea.errors import UserError
from corea.jobs import FULL_ERROR, Job, SweepHooks, guarded, run_single, run_sweep

Config = TypeVar("Config")


NO_HOOKS = SweepHooks()


def command(verb: str, hooks: SweepHooks = NO_HOOKS) -> Callable[[Callable[[Config], Any]], Callable[..., Any]]:
    """Make a function of a root dataclass a command: `main()` reads the command line, `main(cfg)` runs `cfg`."""

    def decorate(function: Callable[[Config], Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def main(cfg: Config | None = None) -> Any:
            if cfg is None:
                return run_command_line(verb, function, hooks)
            with shown_as(getattr(cfg, "display", "auto")):
                return function(cfg)

        return main

    return decorate


def run_command_line(verb: str, function: Callable[[Any], Any], hooks: SweepHooks = NO_HOOKS) -> None:
    """Check the configuration of every job, then run them. Any failure ends in SystemExit with an exit code above."""
    # Set before torch is imported: its threads spin for some 10 microseconds while they wait for one another, then
    # sleep. With the default, which spins on, small models are tens of times slower as soon as another program uses
    # the same cores; without any spinning, two threads are slower than one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    atexit.register(gc.freeze)  # else the interpreter searches all modules for cycles before it ends: 0.4 s
    guarded(f"corea.{verb}", lambda: _start(verb, function, hooks))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        exit_without_teardown()


def exit_without_teardown() -> None:
    """Exit a rank without running library teardown, which can abort a finished run.

    Threads of libraries may still wait for the other ranks; the launcher reports their abort as a failure of the run.
    """
    vars(threading)["_shutdown"]()  # this call and the next close the pools of workers, as the interpreter does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _start(verb: str, function: Callable[[Any], Any], hooks: SweepHooks) -> None:
    """Run the job or the sweep that the command line asks for, or show what its flags ask for."""
    args, note = _arguments(verb)
    config_name = args.config_name or verb
    with composer(verb, args.config_dir, args.config_path) as found:
        if args.cfg:
            typed(found, config_name, args.overrides)
        elif not (args.help or args.hydra_help or args.shell_completion or args.info):
            job = Job(name=f"corea.{verb}", function=function, note=note, hooks=hooks)
            run = run_sweep if args.multirun else run_single
            run(found, config_name, args.overrides, job)
            return
    with env_override({FULL_ERROR: "1"}):  # Hydra raises its errors instead of printing them
        hydra.main(version_base=VERSION_BASE, config_path=str(conf_dir()), config_name=verb)(function)()


def _arguments(verb: str) -> tuple[Namespace, str]:
    """Hydra's command line with the overrides that corea adds, and the log line about them.

    Raises:
        UserError: unknown flags, or flags that exclude each other.
    """
    # The deepspeed launcher adds this flag to every process, and sets $LOCAL_RANK to the same value.
    sys.argv[1:] = [argument for argument in sys.argv[1:] if not re.fullmatch(r"--local[_-]rank=\d+", argument)]
    parser = get_args_parser()

    def fail(message: str) -> None:
        raise UserError(f"{message}; --hydra-help lists the flags")

    parser.error = fail
    args = parser.parse_intermixed_args()
    flags = list(sys.argv[1:])
    for override in args.overrides:
        flags.remove(override)
    overrides = with_task_path(current_overrides(args.overrides))
    added = with_trainer(args.config_name or verb, overrides)[len(overrides) :]
    args.overrides = [*overrides, *added]
    sys.argv[1:] = [*args.overrides, *flags]  # Hydra accepts overrides on one side of its flags only
    if args.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not supported: it loads a pickle; use the run's config.yaml instead")
    if args.resolve and not (args.cfg or args.help):
        raise UserError("--resolve goes with --cfg job or --help")
    if sum(map(bool, (args.run, args.cfg, args.multirun, args.shell_completion, args.info))) > 1:
        raise UserError("only one of --run, --multirun, --cfg, --info and --shell-completion can be given")
    return args, _trainer_note(overrides) if added else ""


def _trainer_note(overrides: list[str]) -> str:
    model = next(override for override in overrides if override.startswith("model="))
    return f"{model}: using trainer=gpu, since trainer=tiny suits only the tiny model; trainer=NAME overrides this"
