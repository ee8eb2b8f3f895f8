"""The command line of every verb: Hydra's, with user mistakes as one line on stderr and exit code 2.

Exit codes: 0 done, 1 a bug (with its traceback), 2 the user's mistake, 130 interrupted. HYDRA_FULL_ERROR=1 shows the
traceback of every error.
"""

from __future__ import annotations

import atexit
import errno
import functools
import os
import re
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from corea.composition import VERSION_BASE, composer, conf_dir, jobs, typed, with_trainer
from corea.config.messages import hydra_line, omegaconf_line, one_line
from corea.config.schema_store import register_schemas
from corea.config.typed import build, require_files
from corea.errors import Interrupted, UserError

Config = TypeVar("Config")

FULL_ERROR = "HYDRA_FULL_ERROR"
TRAINING_EXTRAS = ("torch", "transformers", "deepspeed", "datasets", "safetensors", "tokenizers", "peft")


def command(verb: str) -> Callable[[Callable[[Config], None]], Callable[..., None]]:
    """Make a function of a root dataclass a command: `main()` reads the command line, `main(cfg)` runs `cfg`."""

    def decorate(function: Callable[[Config], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def main(cfg: Config | None = None) -> None:
            if cfg is not None:
                function(cfg)
                return
            _run(verb, function)

        return main

    return decorate


def _run(verb: str, function: Callable[[Any], None]) -> None:
    """Check the command line, then hand it to Hydra. Always ends the process with one of the exit codes above."""
    name = f"corea.{verb}"
    asked = os.environ.get(FULL_ERROR)
    # Before torch is imported: its threads spin for some 10 microseconds while they wait for one another, then sleep.
    # Spinning on, the default, makes small models tens of times slower as soon as another program wants the same cores;
    # sleeping at once makes two threads slower than one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

    @functools.wraps(function)
    def job(cfg: DictConfig) -> None:
        with _environment(FULL_ERROR, asked):
            # SystemExit passes through Hydra, which would print lines of its own for an ordinary exception.
            _guarded(name, lambda: function(build(cfg)))

    def start() -> None:
        _check(verb, _arguments(verb))
        with _environment(FULL_ERROR, "1"):  # Hydra hands its errors on instead of printing them
            hydra.main(version_base=VERSION_BASE, config_path=str(conf_dir()), config_name=verb)(job)()

    _guarded(name, start)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        _end_at_once()


def _end_at_once() -> None:
    """End one of several processes, whose work is done, without taking down the libraries: threads of theirs that still
    wait for the other processes have aborted it now and then, and its launcher calls that a failure of the run."""
    threading._shutdown()  # this and the next as the interpreter does: pools of workers are closed here
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def _environment(key: str, value: str | None) -> Iterator[None]:
    """$key is `value` inside, and for the processes started there."""
    before = os.environ.get(key)
    _set_environment(key, value)
    try:
        yield
    finally:
        _set_environment(key, before)


def _set_environment(key: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(key, None)
    else:
        os.environ[key] = value


def _guarded(name: str, work: Callable[[], None]) -> None:
    """Do `work`; an error of the user's becomes one line on stderr and SystemExit."""
    try:
        work()
    except KeyboardInterrupt as error:
        message = str(error) if isinstance(error, Interrupted) else "interrupted"
        _exit(name, message, 130)
    except Exception as error:
        line = user_line(name, error, sys.argv[1:])
        if line is None or os.environ.get(FULL_ERROR) == "1":
            raise
        _exit(name, line, 2)


def _exit(name: str, message: str, code: int) -> None:
    sys.stdout.flush()
    print(f"{name}: {one_line(message)}", file=sys.stderr)
    raise SystemExit(code)


def user_line(name: str, error: Exception, overrides: list[str]) -> str | None:
    """One line for an error that is the user's to mend; None for a bug."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, HydraException):
        return hydra_line(error, overrides)
    if isinstance(error, OmegaConfBaseException):
        return omegaconf_line(error)
    if isinstance(error, yaml.YAMLError):
        return f"not valid YAML: {error}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in TRAINING_EXTRAS:
        return f"{name} needs the training extras: pip install 'corea[train]' ({error.name} is not installed)"
    if isinstance(error, OSError):
        return _os_line(error)
    return None


def _os_line(error: OSError) -> str | None:
    """A missing or forbidden file, or a full disk; None for any other operating-system error."""
    full = (errno.ENOSPC, errno.EDQUOT)
    file = error.filename
    if error.errno in full:
        where = f" while writing {file}" if file else ""
        return f"no space left on the disk{where}; what was there before still stands"
    if file is not None and error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EROFS):
        return f"{file}: {os.strerror(error.errno).lower()}"
    return None


def _arguments(verb: str) -> Namespace:
    """Hydra's command line, completed by the trainer; flags it does not know are the user's mistake."""
    # The deepspeed launcher adds one to every process and says the same in $LOCAL_RANK.
    sys.argv[1:] = [argument for argument in sys.argv[1:] if not re.fullmatch(r"--local[_-]rank=\d+", argument)]
    parser = get_args_parser()

    def fail(message: str) -> None:
        raise UserError(f"{message}; --hydra-help lists the flags")

    parser.error = fail  # type: ignore[method-assign, assignment]
    args = parser.parse_intermixed_args()
    sys.argv[1:] = _overrides_first(sys.argv[1:], args.overrides)
    more = with_trainer(args.config_name or verb, args.overrides)[len(args.overrides) :]
    sys.argv[1:1], args.overrides = more, [*args.overrides, *more]
    if args.experimental_rerun is not None:
        raise UserError("--experimental-rerun is not supported: it loads a pickle; use the run's config.yaml instead")
    if args.resolve and not (args.cfg or args.help):
        raise UserError("--resolve goes with --cfg job or --help")
    if sum(map(bool, (args.run, args.cfg, args.multirun, args.shell_completion, args.info))) > 1:
        raise UserError("only one of --run, --multirun, --cfg, --info and --shell-completion can be given")
    return args


def _overrides_first(argv: list[str], overrides: list[str]) -> list[str]:
    """Overrides first: Hydra reads them on one side of its flags only; ours may stand anywhere."""
    flags = list(argv)
    for override in overrides:
        flags.remove(override)
    return [*overrides, *flags]


def _check(verb: str, args: Namespace) -> None:
    """Compose and build the configuration of every job before anything is written or started."""
    register_schemas()  # Hydra composes for --help too
    if args.help or args.hydra_help or args.shell_completion or args.info or args.config_path:
        return
    config_name = args.config_name or verb
    with composer(verb, args.config_dir) as hydra:
        for job in jobs(hydra.config_loader, config_name, list(args.overrides), args.multirun):
            cfg = typed(hydra, config_name, job)
            if not args.cfg:
                require_files(cfg)
