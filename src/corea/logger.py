"""Loggers copy the results of a run elsewhere. The files in the run folder are authoritative; no logger can stop a run.

A logger that is off is an object that does nothing.
"""

from __future__ import annotations

import json
import logging
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hydra.utils import get_class

from corea.config.logger_schema import LoggerConfig
from corea.runtime import atomic_write

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class Logger:
    """Destination of metrics, tables, images and pages besides the run folder. The methods of this base class do
    nothing."""

    def log(self, metrics: Mapping[str, Any], step: int, axis: str = "step") -> None:
        """Numbers at position `step` of the axis named `axis`."""

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """A table; a second one of the same name replaces the first."""

    def lines(self, name: str, frame: pd.DataFrame, title: str, x_name: str) -> None:
        """A chart of the columns `x` and `y`, one line for each value of the column `line`."""

    def image(self, name: str, path: str | Path) -> None:
        """A PNG file."""

    def html(self, name: str, path: str | Path) -> None:
        """A self-contained HTML file."""

    def summary(self, figures: Mapping[str, Any]) -> None:
        """Figures of the whole run."""

    def close(self) -> None:
        """Finish; nothing is logged afterwards."""


def build_logger(cfg: LoggerConfig, run_dir: str | Path, config: Any, job: str = "run", resume: bool = True) -> Logger:
    """Build the logger that `cfg._target_` names.

    `config` is the root dataclass, which the logger shows beside the results. With `resume` a run folder keeps one
    logger run per `job`; without it every call starts a new one.
    """
    options = {f.name: getattr(cfg, f.name) for f in fields(cfg) if f.name not in ("_target_", "name")}
    return get_class(cfg._target_)(run_dir=Path(run_dir), config=asdict(config), job=job, resume=resume, **options)


@contextmanager
def open_logger(
    cfg: LoggerConfig, run_dir: str | Path, config: Any, job: str = "run", resume: bool = True
) -> Iterator[Logger]:
    """The logger of `build_logger`, closed at the end of the block."""
    logger = build_logger(cfg, run_dir, config, job, resume)
    try:
        yield logger
    finally:
        logger.close()


class NoLogger(Logger):
    """Logs nothing."""

    def __init__(self, **_: Any) -> None:
        """Accepts the arguments of every logger."""


class WandbLogger(Logger):
    """Weights & Biases, offline unless an account is configured; its files lie in RUN_DIR/wandb.

    RUN_DIR/wandb/JOB.json keeps the run id and the last logged step, so that a resumed run continues the same W&B run
    and logs no step twice. A failure of W&B is reported once and stops the logging, not the run. Runs of other loggers
    in the same process (a multirun, a notebook) are not touched.
    """

    def __init__(
        self,
        *,
        run_dir: Path,
        config: Mapping[str, Any],
        project: str = "corea",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        mode: str = "auto",
        job: str = "run",
        resume: bool = True,
    ) -> None:
        self._axes: set[str] = set()
        self._keys: set[str] = set()
        self._run: Any = None
        self._failed = False
        self._state_file = run_dir / "wandb" / f"{job}.json"
        self._state = self._read_state() if resume else {}
        options = {"project": project, "entity": entity, "group": group, "tags": tags or None, "job_type": job}
        self._try("start", lambda: self._start(run_dir, config, pick_mode(mode), options))

    def log(self, metrics: Mapping[str, Any], step: int, axis: str = "step") -> None:
        """See Logger. Skips steps of the axis "step" that this W&B run already has."""
        if axis == "step":
            if step <= self._state.get("step", -1):
                return
            self._state["step"] = step
        self._try("log", lambda: self._log(metrics, step, axis))

    def table(self, name: str, frame: pd.DataFrame) -> None:
        """See Logger."""
        self._try("table", lambda: self._run.log({name: _wandb().Table(dataframe=frame)}))

    def lines(self, name: str, frame: pd.DataFrame, title: str, x_name: str) -> None:
        """See Logger. Uses W&B's custom chart, which can zoom and overlay several runs."""
        parts = [(str(key), part) for key, part in frame.groupby("line", sort=False)]
        xs, ys = ([part[axis].tolist() for _, part in parts] for axis in ("x", "y"))
        keys = [key for key, _ in parts]
        chart = lambda: _wandb().plot.line_series(xs, ys, keys=keys, title=title, xname=x_name)  # noqa: E731
        self._try("chart", lambda: self._run.log({name: chart()}))

    def image(self, name: str, path: str | Path) -> None:
        """See Logger."""
        self._try("image", lambda: self._run.log({name: _wandb().Image(str(path))}))

    def html(self, name: str, path: str | Path) -> None:
        """See Logger."""
        page = Path(path)
        self._try("html", lambda: self._run.log({name: _wandb().Html(page.read_text("utf-8"), inject=False)}))

    def summary(self, figures: Mapping[str, Any]) -> None:
        """See Logger."""
        self._try("summary", lambda: self._run.summary.update(dict(figures)))

    def close(self) -> None:
        """See Logger. Also finishes a failed run, which W&B would keep open until the process ends."""
        run, self._run = self._run, None
        if run is None:
            return
        try:
            run.finish()
        except Exception as error:
            self._report("finish", error)

    def _start(self, run_dir: Path, config: Mapping[str, Any], mode: str, options: dict[str, Any]) -> None:
        wandb = _wandb()
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            init_timeout=30,
            reinit="create_new",  # by default W&B returns any open run of this process
        )
        same = {"id": self._state["id"]} if "id" in self._state else {}
        common = {**options, **same, "dir": str(run_dir), "config": dict(config), "settings": quiet}
        (run_dir / "wandb").mkdir(parents=True, exist_ok=True)  # else W&B falls back to a temporary folder
        try:
            run = wandb.init(mode=mode, resume="allow" if mode == "online" else None, **common)
        except Exception as error:  # the network, an expired key, a project that may not be written to
            if mode != "online":
                raise
            log.warning("W&B cannot be reached (%s); logging offline, `wandb sync` uploads it later", error)
            run = wandb.init(mode="offline", **common)
        self._run = run
        self._state["id"] = run.id
        self._write_state()

    def _log(self, metrics: Mapping[str, Any], step: int, axis: str) -> None:
        if axis not in self._axes:
            self._run.define_metric(axis, hidden=True)
            self._axes.add(axis)
        for key in metrics.keys() - self._keys:
            self._run.define_metric(key, step_metric=axis)
            self._keys.add(key)
        self._run.log({**metrics, axis: step})
        if axis == "step":
            self._write_state()

    def _try(self, what: str, call: Callable[[], Any]) -> None:
        """Call W&B; no error of its software or network may end a run of many hours."""
        if self._failed or (self._run is None and what != "start"):
            return
        try:
            call()
        except Exception as error:
            self._report(what, error)

    def _report(self, what: str, error: Exception) -> None:
        if not self._failed:
            log.warning(
                "W&B failed (%s: %s) and is off for the rest of this run; local files are still written", what, error
            )
        self._failed = True

    def _read_state(self) -> dict[str, Any]:
        try:
            return json.loads(self._state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def _write_state(self) -> None:
        with atomic_write(self._state_file) as temporary:
            temporary.write_text(json.dumps(self._state), encoding="utf-8")


def pick_mode(mode: str) -> str:
    """Resolve `auto`: $WANDB_MODE if set, else online with an account and offline without one."""
    if mode != "auto":
        return mode
    return os.environ.get("WANDB_MODE") or ("online" if has_account() else "offline")


def has_account() -> bool:
    """Whether there is an API key in the environment or a login in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    candidates = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for candidate in candidates:
        try:
            if netrc.netrc(os.path.expanduser(candidate)).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _wandb() -> Any:
    # If the openai client is loaded, W&B advertises Weave and would trace the prompts of calls with it.
    os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")
    import wandb

    return wandb
