"""The served log: every decision of a server, for evaluation and audits (answers/served_format.py lists its files).

Each request is one line, written with one system call to the tail of its process before `add` returns: a killed server
loses no request that it has added (a machine that loses power may lose the last seconds). A tail that is long or old
enough becomes a Parquet part in a process of its own. Every process has its own tail and holds a lock on it, so workers
do not disturb each other; at its start a server turns the tails of dead processes into parts. A full disk does not stop
serving: what cannot be written is counted.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from threading import Lock
from typing import Any

from corea.answers.served_format import MARKER, PART, POINTS, TAIL
from corea.errors import UserError
from corea.runtime import atomic_write
from corea.serving.served_record import ServedRecord, ServedTier

log = logging.getLogger(__name__)

TEXTS = ("question", "answer", "text")
"""Fields that are null unless text may be logged."""
LOCAL_MODEL = "path"
"""Key of a model in an operating point: its folder, relative to the file."""


def record_row(record: ServedRecord, text: bool = False) -> dict[str, Any]:
    """The record as a line of the log. `text` False: without question, answers and completions."""
    row = _row(record, text)
    return {**row, "tiers": [_row(tier, text) for tier in record.tiers]}


def _row(record: ServedRecord | ServedTier, text: bool) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name != "tiers"}
    if "signals" in values:
        values["signals"] = {name: _finite(value) for name, value in values["signals"].items()}
    return {name: None if name in TEXTS and not text else _finite(value) for name, value in values.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _convert_elsewhere(tail: Path, part: Path, descriptor: int) -> None:
    """`write_part` in another process, which inherits the lock and which Ctrl-C does not reach. Raises OSError."""
    command = [sys.executable, "-m", "corea.answers.served_part", str(tail), str(part)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command,
        env=environment,
        pass_fds=(descriptor,),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode and tail.exists():
        raise OSError((done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1])


class ServedLog:
    """The served log of one process. `add` may be called from any thread."""

    def __init__(
        self, folder: str | os.PathLike[str], *, rows: int = 10_000, minutes: float = 60, text: bool = False
    ) -> None:
        """Open the log and turn the tails of dead processes into parts.

        Args:
            rows, minutes: a tail becomes a part after so many requests, or so many minutes.
            text: also log questions, answers and completions.

        Raises:
            UserError: the folder cannot be written.
        """
        self.folder, self.rows, self.seconds, self.text = Path(folder), rows, 60 * minutes, text
        self.lock = Lock()
        self.background = ThreadPoolExecutor(1, thread_name_prefix="served-log")
        self.closing = False
        self.dropped = 0
        """Requests that could not be written."""
        self.warned = False
        self.descriptor: int | None = None
        """Of the tail; None: the log is closed."""
        self.torn = False
        """True: the tail ends in a line that is cut off."""
        self.written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / MARKER).exists():
                with atomic_write(self.folder / MARKER) as temporary:
                    temporary.write_text('{"format": 1}\n', encoding="utf-8")
            self._open()
        except OSError as error:
            raise UserError(f"serve.log_folder={folder}: cannot be written ({error.strerror})") from error
        self.background.submit(self._adopt)

    def add(self, record: ServedRecord) -> None:
        """Write one request. Never raises: lost requests are counted in `dropped`; the first loss is logged."""
        line = json.dumps(record_row(record, self.text), ensure_ascii=False, separators=(",", ":"))
        data = line.encode("utf-8", "replace") + b"\n"
        with self.lock:
            if self.descriptor is None:
                self._lose("the served log is closed")
                return
            data = b"\n" + data if self.torn else data
            try:
                whole = os.write(self.descriptor, data) == len(data)
            except OSError as error:  # a full disk must not stop serving
                self._lose(error.strerror or "write failed")
                return
            self.torn = not whole
            if not whole:
                self._lose("no space left")
                return
            self.written += 1
            if self.written >= self.rows or time.monotonic() - self.opened >= self.seconds:
                self._rotate()

    def add_point(self, path: str | os.PathLike[str], sha256: str) -> None:
        """Keep the operating point that decides, which an evaluation compares with and takes models and prices from."""
        path, target = Path(path), self.folder / POINTS / f"{sha256}.json"
        if target.exists():
            return
        document = json.loads(path.read_text(encoding="utf-8"))
        for model in (document.get("models") or {}).values():
            local = path.parent / str(model.get(LOCAL_MODEL))
            if model.get(LOCAL_MODEL) and local.exists():
                model[LOCAL_MODEL] = str(local.resolve())
        with atomic_write(target) as temporary:
            temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Turn the tail into a part, and wait for the background thread."""
        self.closing = True
        with self.lock:
            if self.descriptor is not None:
                self.background.submit(self._convert, self.tail, self.descriptor)
                self.descriptor = None
        self.background.shutdown(wait=True)

    def _open(self) -> None:
        """A new tail, locked before it is renamed, so that no other process takes it for that of a dead one."""
        name = f"{time.time_ns():x}-{os.getpid()}"
        temporary, tail = self.folder / f".new-{name}", self.folder / f"{TAIL}{name}.jsonl"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(temporary, tail)
        except OSError:
            os.close(descriptor)
            raise
        self.tail, self.torn = tail, False
        self.descriptor = descriptor
        self.opened, self.written = time.monotonic(), 0

    def _rotate(self) -> None:
        """Start a new tail; if that fails, go on with the old one and try again after as many requests."""
        tail, descriptor = self.tail, self.descriptor
        assert descriptor is not None
        try:
            self._open()
        except OSError as error:
            self._warn(error.strerror or "no new file")
            self.opened, self.written = time.monotonic(), 0
            return
        self.background.submit(self._convert, tail, descriptor)

    def _convert(self, tail: Path, descriptor: int) -> None:
        """Write a complete tail as a part, then remove it. `descriptor` holds its lock and is closed."""
        name = tail.name.removeprefix(TAIL).removesuffix(".jsonl")
        part = self.folder / f"{PART}{name}.parquet"
        try:
            if self.closing or not sys.executable:
                from corea.answers.served_part import write_part

                write_part(tail, part)
            else:
                _convert_elsewhere(tail, part, descriptor)
        except FileNotFoundError:
            pass  # another process has converted it
        except Exception as error:  # of the disk, of pyarrow or of a process: the tail stays and is read as it is
            self._warn(str(error) or type(error).__name__)
        finally:
            os.close(descriptor)

    def _adopt(self) -> None:
        """Turn the tails of dead processes into parts: those whose lock is free."""
        for tail in sorted(self.folder.glob(f"{TAIL}*.jsonl")):
            try:
                descriptor = os.open(tail, os.O_RDONLY)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process lives
                os.close(descriptor)
                continue
            self._convert(tail, descriptor)

    def _lose(self, reason: str) -> None:
        self.dropped += 1
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        if not self.warned:
            self.warned = True
            log.warning("served log %s: %s; serving goes on, lost requests are counted", self.folder, reason)
