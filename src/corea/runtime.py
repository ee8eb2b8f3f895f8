"""What every run shares: the run folder, its metrics file, and writes that never damage what was there before."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import YAMLError

from corea.errors import UserError
from corea.provenance import provenance

HARMLESS = (
    "trainer.steps",
    "trainer.save_every",
    "trainer.keep_last",
    "trainer.sample_every",
    "trainer.resume",
    "trainer.threads",
    "trainer.token_budget",
    "trainer.panel_every",
    "trainer.panel_questions",
    "trainer.best_by",
    "trainer.patience",
    "trainer.max_skipped",
    "trainer.gradient_checkpointing",
    "sft.steps",
    "sft.eval_every",
    "sft.eval_questions",
    "sft.threads",
    *(
        f"engine.{key}"
        for key in ("batch_rows", "graphs", "max_rows", "gpu_share", "cpu_cache_gib", "base_url", "weights")
    ),
    *(f"engine.{key}" for key in ("concurrency", "timeout_s", "tries", "max_wait_s")),
    "chunk",
    "logger",
)
"""Keys (with everything below them) that may change when a run goes on."""

FULL = 64 * 1024
"""A disk with fewer free bytes counts as full."""

UNSET = "(unset)"

_override: ContextVar[Path | None] = ContextVar("run_dir", default=None)


def run_dir(shared: bool = False) -> Path:
    """The folder of this run: `hydra.run.dir`, or what `use_run_dir` says. RuntimeError outside of both.

    Raises:
        UserError: several processes are to share it (`shared`), and its name holds the time that each of them has read.
    """
    folder = _override.get()
    if folder is not None:
        return folder
    if not HydraConfig.initialized() or OmegaConf.is_missing(HydraConfig.get().runtime, "output_dir"):
        raise RuntimeError("no run folder: start the verb on the command line, or inside use_run_dir(folder)")
    if shared and "${now:" in str(OmegaConf.to_container(HydraConfig.instance().cfg, resolve=False)["hydra"][_mode()]):
        raise UserError(
            f"hydra.{_mode()}.dir: its default holds the time, which several processes do not read alike; give one"
        )
    return Path(HydraConfig.get().runtime.output_dir)


def _mode() -> str:
    return "sweep" if HydraConfig.get().mode == RunMode.MULTIRUN else "run"


@contextmanager
def use_run_dir(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Run a verb from Python: `with use_run_dir("outputs/x"): main(cfg)`."""
    token = _override.set(Path(folder))
    try:
        yield Path(folder)
    finally:
        _override.reset(token)


def prepare_run_dir(
    path: str | os.PathLike[str], cfg: Any, resume: str = "auto", name: str = "config.yaml", harmless: tuple = HARMLESS
) -> bool:
    """Create the run folder `path` and store the configuration there; True when it already held this run.

    `cfg` is the root dataclass; it goes to `name`, and what the run depends on besides to provenance.json, one entry a
    start. `resume` "never" refuses a folder that holds a run; "auto" goes on, unless a key outside `harmless` has
    another value now. UserError in both cases.
    """
    folder = Path(path)
    stored = folder / name
    if resume == "never" and (stored.exists() or (folder / "checkpoints").exists()):
        raise UserError(f"{folder}: already holds a run, and resume=never does not overwrite it; use another folder")
    current = asdict(cfg)
    held = stored.exists()
    if held:
        _refuse_changes(stored, current, harmless)
    with atomic_write(stored) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(current)), encoding="utf-8")
    _append_provenance(folder / "provenance.json", {"config": name, "seed": current.get("seed")})
    return held


def _refuse_changes(stored: Path, current: dict[str, Any], harmless: tuple[str, ...]) -> None:
    try:
        before = OmegaConf.to_container(OmegaConf.load(stored))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{stored}: cannot be read ({error}); use another folder") from error
    if not isinstance(before, dict):
        raise UserError(f"{stored}: not a configuration; use another folder")
    old, new = _flat(before), _flat(current)
    changed = [
        f"{key} was {_short(old, key)}, now {_short(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key, UNSET) != new.get(key, UNSET) and not any(f"{key}.".startswith(f"{h}.") for h in harmless)
    ]
    if changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise UserError(
            f"{stored.parent}: holds a run with another configuration: {'; '.join(changed[:4])}{more}; "
            "go on with the old values, or use another folder"
        )


def _short(values: dict[str, Any], key: str) -> str:
    text = str(values.get(key, UNSET))
    return text if len(text) <= 60 else f"{text[:60]}…"


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts to dotted keys; lists stay whole."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {k: v for key, child in value.items() for k, v in _flat(child, f"{path}.{key}" if path else key).items()}


def _append_provenance(path: Path, extra: dict[str, Any]) -> None:
    stored: dict[str, Any] = {}
    starts = []
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            starts = stored["starts"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a provenance file ({error}); use another folder") from error
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps({**stored, "starts": [*starts, {**extra, **provenance()}]}, indent=1) + "\n")


class MetricsWriter:
    """metrics.jsonl: one line a step, flushed at once, so that a killed run loses at most the line it was writing."""

    def __init__(self, path: str | os.PathLike[str], resume_step: int | None = None) -> None:
        """Lines of steps >= `resume_step` (the step that comes next) are dropped; so is a torn last line."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._cut(resume_step)

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append one line; `metrics` holds "step". What is not a finite number becomes null."""
        line = json.dumps({key: _plain(value) for key, value in metrics.items()}, allow_nan=False)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise _explained(error, self.path) from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _cut(self, resume_step: int | None) -> None:
        text = self.path.read_text(encoding="utf-8")
        limit = math.inf if resume_step is None else resume_step
        kept = [line for line in text.splitlines() if (step := _step(line)) is not None and step < limit]
        new = "".join(f"{line}\n" for line in kept)
        if new != text:
            with atomic_write(self.path) as temporary:
                temporary.write_text(new, encoding="utf-8")


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a torn last line is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step(line) is not None]


def _step(line: str) -> float | None:
    """Step of a metrics line; None for a torn one."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _plain(value: Any) -> Any:
    """Numpy and torch scalars to Python's; NaN and infinities to None."""
    if isinstance(value, str | bool | None):
        return value
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed to disk and renamed onto `path`.

    On any error the temporary file is removed and what stood at `path` still stands. A full disk is a UserError.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        explained = _explained(error, target)  # before the room is given back
        temporary.unlink(missing_ok=True)
        if explained is not error:
            raise explained from error
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """As `atomic_write`, for a whole folder: yield an empty temporary folder that replaces `path` on success."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        if target.exists():
            os.replace(target, aside)
        os.replace(temporary, target)
    except BaseException as error:
        explained = _explained(error, target)
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        if explained is not error:
            raise explained from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _explained(error: BaseException, target: Path) -> BaseException:
    """A UserError when `error` comes from a full disk, else `error` itself.

    Writers in C++ and Rust (pyarrow, safetensors, torch) do not all keep the error number, hence the look at the disk.
    """
    if not isinstance(error, Exception) or isinstance(error, UserError):
        return error
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    if not full:
        try:
            full = shutil.disk_usage(target.parent).free < FULL
        except OSError:
            return error
    return UserError(f"{target}: no space left on the disk; what was there before still stands") if full else error
