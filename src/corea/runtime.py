"""Safe writes: files that are replaced whole or not at all, and the metrics file of a run. Garbage collection."""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corea.errors import UserError

FULL = 64 * 1024
"""A disk with fewer free bytes than this counts as full."""


class MetricsWriter:
    """metrics.jsonl: one line per step, flushed at once: a killed run loses at most the line that it is writing."""

    def __init__(self, path: str | os.PathLike[str], resume_step: int | None = None) -> None:
        """Drop lines of steps >= `resume_step` (the next step), and a last line that is cut off."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._cut(resume_step)

    def write(self, metrics: Mapping[str, Any]) -> None:
        """Append one line; `metrics` holds "step". NaN and infinite numbers become null."""
        line = json.dumps({key: _plain(value) for key, value in metrics.items()}, allow_nan=False)
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise _explained(error, self.path) from error

    def close(self) -> None:
        """Does nothing: no file is kept open."""

    def _cut(self, resume_step: int | None) -> None:
        text = self.path.read_text(encoding="utf-8")
        limit = math.inf if resume_step is None else resume_step
        kept = [line for line in text.splitlines() if (step := _step(line)) is not None and step < limit]
        new = "".join(f"{line}\n" for line in kept)
        if new != text:
            with atomic_write(self.path) as temporary:
                temporary.write_text(new, encoding="utf-8")


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without a last line that is cut off."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if _step(line) is not None]


def _step(line: str) -> float | None:
    """Step of a metrics line; None for one that is cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _plain(value: Any) -> Any:
    """Convert numpy and torch scalars to Python's, NaN and infinities to None."""
    if isinstance(value, str | bool | None):
        return value
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


@contextmanager
def rare_collections() -> Iterator[None]:
    """Search for garbage cycles at a seventieth of the usual rate, in work that loads libraries and leaves few cycles.

    It saves a tenth of the time of a small evaluation.
    """
    usual = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def frozen_objects() -> Iterator[None]:
    """Leave all present objects out of the search for garbage cycles.

    A loop that creates many objects triggers a full search now and then; with the libraries loaded, it takes as long as
    a training step of a tiny model.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed to disk and renamed onto `path`.

    On any error the temporary file is removed and `path` is unchanged. A full disk is a UserError.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
    except BaseException as error:
        explained = _explained(error, target)  # before the disk space is freed
        temporary.unlink(missing_ok=True)
        if explained is not error:
            raise explained from error
        raise


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Like `atomic_write`, for a folder: yield an empty temporary folder that replaces `path` on success."""
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
    """A UserError if `error` comes from a full disk, else `error` itself.

    Writers in C++ and Rust (pyarrow, safetensors, torch) do not all keep the error number, so this checks the disk.
    """
    if not isinstance(error, Exception) or isinstance(error, UserError):
        return error
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    if not full:
        try:
            full = shutil.disk_usage(target.parent).free < FULL
        except OSError:
            return error
    return UserError(f"{target}: no space left on the disk; existing files are unchanged") if full else error
