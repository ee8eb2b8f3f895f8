"""Shadowed questions: a seeded share of the kept questions that are also sent to the last tier, in the background.

Only deferred questions have an answer of the last tier, so a served log without shadowed ones says nothing about the
kept ones. The choice depends on the seed and the request id alone, and the probability that is recorded is the one with
which the question was chosen: `share`, or 0 while a bound is reached. Whether a bound is reached is decided by earlier
questions, before this one is drawn. answers/served_answers.py describes how an evaluation uses the probability.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np

from corea.config.serve_watch_schema import ServeWatchConfig
from corea.serving.served_record import ServedRecord

log = logging.getLogger(__name__)

SPENDING = "shadow_spending.jsonl"
"""File of the log folder: what each shadowed question may cost, then what it did cost, of all workers."""


def chosen(seed: int, request_id: str, share: float) -> bool:
    """Whether a question is shadowed while no bound is reached; the same for the same three values."""
    digest = hashlib.blake2b(f"corea shadow\0{seed}\0{request_id}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class Shadow:
    """Draws which kept questions are shadowed. Thread-safe; one per worker."""

    def __init__(
        self,
        cfg: ServeWatchConfig,
        *,
        call_usd: float = 0.0,
        workers: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`call_usd`: most dollars that one call of the last tier may cost. `workers`: each has a part of the rate."""
        self.share, self.seed, self.clock = cfg.shadow_share, cfg.shadow_seed, clock
        rate = np.inf if cfg.shadow_per_minute is None else cfg.shadow_per_minute / workers
        self.window_s = 60 * max(1.0, 1 / rate)
        self.most = max(1.0, np.floor(rate))
        """Most shadowed questions of a window: one of more than a minute where less than one a minute is allowed."""
        self.window, self.drawn = -1, 0
        self.lock = Lock()
        self.spending = None
        if cfg.shadow_usd is not None and cfg.log_folder is not None:
            self.spending = Spending(Path(cfg.log_folder) / SPENDING, cfg.shadow_usd, call_usd, workers)

    def draw(self, request_id: str) -> tuple[bool, float]:
        """(shadow this kept question, probability of that). Every True must be followed by a record with `shadow`.

        The caller must be able to send every question that is drawn: one that is dropped afterwards makes the recorded
        probability wrong.
        """
        with self.lock:
            probability = self.share if self.share and self._room() else 0.0
            shadowed = chosen(self.seed, request_id, probability)
            if shadowed:
                self.drawn += 1
                if self.spending is not None:
                    self.spending.reserve(request_id)
            return shadowed, probability

    def observe(self, record: ServedRecord) -> None:
        """Charge a shadowed question. A cost that is unknown counts as the most that a call may cost."""
        if record.shadow and self.spending is not None:
            with self.lock:
                self.spending.settle(record.request_id, record.tiers[-1].cost_usd if record.tiers else None)

    def _room(self) -> bool:
        """Whether both bounds allow one more question."""
        window = int(self.clock() // self.window_s)
        if window != self.window:
            self.window, self.drawn = window, 0
        return self.drawn < self.most and (self.spending is None or self.spending.has_room())


class Spending:
    """Dollars of shadowed questions, in a file that all workers append to and read.

    A question counts with `call_usd` until its cost is known, also after its worker is killed.
    """

    def __init__(self, path: Path, limit: float, call_usd: float, workers: int) -> None:
        self.path, self.limit, self.call_usd, self.workers = path, limit, call_usd, workers
        self.total = 0.0
        """Dollars spent and reserved."""
        self.open: dict[str, float] = {}
        """Request -> dollars reserved."""
        self.offset = 0
        """Bytes of the file that are read."""
        self.failed = False

    def has_room(self) -> bool:
        """True if each worker could send one more question at the same moment."""
        self._read()
        return not self.failed and self.total + self.workers * self.call_usd <= self.limit

    def reserve(self, request_id: str) -> None:
        """Count a question with its maximum cost."""
        self._write({"request_id": request_id, "reserved": self.call_usd})

    def settle(self, request_id: str, usd: float | None) -> None:
        """Count a question with its actual cost; None: unknown."""
        self._write({"request_id": request_id, "usd": self.call_usd if usd is None else usd})

    def _write(self, entry: dict[str, float | str]) -> None:
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(json.dumps(entry).encode() + b"\n")
        except OSError as error:  # without a record of what is spent, nothing more may be
            if not self.failed:
                log.warning("%s: %s; no further question is shadowed", self.path, error.strerror)
            self.failed = True

    def _read(self) -> None:
        """Read the new lines of the file; an incomplete line is read once it is complete, a damaged one is skipped."""
        try:
            if self.path.stat().st_size == self.offset:
                return
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
                request_id = entry["request_id"]
            except (ValueError, KeyError, TypeError):
                continue
            if "reserved" in entry:
                self.open[request_id] = entry["reserved"]
                self.total += entry["reserved"]
            else:
                self.total += entry["usd"] - self.open.pop(request_id, 0.0)
