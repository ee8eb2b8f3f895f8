"""Drift: compares served questions with those of the operating point.

The deferral rate is compared with that of the test questions, the confidences with those of the calibration questions.

Each dataset has two sequential tests (cascade/drift_tests.py). All tests of all workers share the false-alarm rate, so
that a server whose questions do not change raises any alarm with at most that probability, however long it runs. An
alarm stays, for all workers and after a restart, until its file is removed from the log folder.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from corea.cascade.decision import Reason, deferred
from corea.cascade.drift_tests import ChangeTest
from corea.cascade.live_point import LivePoint
from corea.cascade.operating_point import categories
from corea.config.serve_watch_schema import ServeWatchConfig
from corea.errors import UserError
from corea.runtime import atomic_write
from corea.serving.served_record import ServedRecord

log = logging.getLogger(__name__)

ALARM = "drift_alarm.json"
"""File of the log folder that stands for an alarm."""
EVERY = 20
"""Questions between two looks at a test."""
REFRESH_S = 1.0
"""Seconds between two looks for the file."""
DEFERRAL, CONFIDENCE = "deferral", "confidence"


class Stream:
    """The questions of one dataset under one test."""

    def __init__(self, calibration: np.ndarray) -> None:
        """`calibration`: [J] calibration questions of each category."""
        self.calibration = calibration
        self.test = ChangeTest(calibration)
        self.waiting = np.zeros(len(calibration))
        self.log_wealth = 0.0

    def add(self, category: int) -> bool:
        """Add a question; True if the test was looked at."""
        self.waiting[category] += 1
        if self.waiting.sum() < EVERY:
            return False
        self.log_wealth = float(self.test.add(self.waiting))
        self.waiting[:] = 0
        return True

    def shares(self) -> tuple[list[float], list[float], int]:
        """Share of each category in the calibration questions and in the stream, and questions of the stream."""
        seen = self.test.seen + self.waiting
        number = int(seen.sum())
        known = self.calibration / self.calibration.sum()
        return known.round(4).tolist(), (seen / max(number, 1)).round(4).tolist(), number


class Drift:
    """Watches all datasets of an operating point. Thread-safe; one per worker."""

    def __init__(
        self,
        cfg: ServeWatchConfig,
        points: Iterable[LivePoint],
        *,
        workers: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.points = {point.dataset: point for point in points}
        self.false_alarm, self.workers, self.clock = cfg.drift_false_alarm, workers, clock
        self.all_to_llm = cfg.on_drift == "llm"
        self.path = None if cfg.log_folder is None else Path(cfg.log_folder) / ALARM
        self.lock = Lock()
        self.looked_at = -np.inf
        self.alarm: dict[str, Any] | None = None
        self._start()
        if self._refresh():
            log.warning("drift: the alarm in %s is still set; remove the file to restart the tests", self.path)

    def observe(self, record: ServedRecord) -> None:
        """Add a request that the first tier decided."""
        streams = self.streams.get(record.dataset)
        if not streams or not record.tiers or record.reason == Reason.UNCALIBRATED:
            return
        first, point = record.tiers[0], self.points[record.dataset]
        if first.tier != point.chain[0] or first.threshold is None:
            return
        value = np.nan if first.confidence is None else first.confidence
        with self.lock:
            for name, stream in streams.items():
                if name == DEFERRAL:
                    category = int(deferred(value, first.threshold))
                else:
                    category = int(categories(value, self.edges[record.dataset]))
                if stream.add(category) and stream.log_wealth >= self.needed and self.alarm is None:
                    self._raise(record.dataset, name, stream)

    @property
    def alarmed(self) -> bool:
        """True from the first alarm of any worker until its file is removed."""
        with self.lock:
            return self._refresh()

    @property
    def sends_all_to_llm(self) -> bool:
        """True if every question is to go to the last tier."""
        return self.all_to_llm and self.alarmed

    def state(self) -> dict[str, Any]:
        """For /health: the alarm, and what each test of this worker has seen."""
        alarmed = self.alarmed
        with self.lock:
            tests = {
                dataset: {name: self._test_state(stream) for name, stream in streams.items()}
                for dataset, streams in self.streams.items()
            }
        return {
            "alarm": alarmed,
            "reason": (self.alarm or {}).get("reason"),
            "since": (self.alarm or {}).get("time_s"),
            "sends_all_to_llm": alarmed and self.all_to_llm,
            "false_alarm_rate": self.false_alarm,
            "tests": tests,
        }

    def _start(self) -> None:
        """Tests from the beginning."""
        self.streams: dict[str, dict[str, Stream]] = {}
        self.edges: dict[str, np.ndarray] = {}
        for name, point in self.points.items() if self.false_alarm else ():
            found = {}
            if point.deferral is not None:
                passed, questions = point.deferral
                found[DEFERRAL] = Stream(np.array([questions - passed, passed], np.float64))
            if point.distribution.get("counts"):
                self.edges[name] = np.asarray(point.distribution["edges"], np.float64)
                found[CONFIDENCE] = Stream(np.asarray(point.distribution["counts"], np.float64))
            if len(found) < 2:
                log.warning(
                    "drift: dataset %s: the operating point lacks %s; write it again with corea.evaluate to watch it",
                    name,
                    " and ".join(sorted({DEFERRAL, CONFIDENCE} - found.keys())),
                )
            self.streams[name] = found
        number = sum(map(len, self.streams.values())) * self.workers
        self.needed = float(np.log(max(number, 1) / self.false_alarm)) if self.false_alarm else np.inf
        """Logarithm of the wealth at which a test raises an alarm."""

    def _test_state(self, stream: Stream) -> dict[str, Any]:
        known, seen, questions = stream.shares()
        evidence = min(1.0, max(0.0, stream.log_wealth / self.needed))
        return {"calibration": known, "served": seen, "questions": questions, "evidence": round(evidence, 3)}

    def _raise(self, dataset: str, name: str, stream: Stream) -> None:
        known, seen, questions = stream.shares()
        if name == DEFERRAL:
            what = f"deferral rate {seen[1]:.3f} of {questions:,} questions, {known[1]:.3f} expected"
        else:
            what = f"confidences of {questions:,} questions are not distributed as those of the calibration questions"
        reason = f"{dataset}: {what}"
        self.alarm = {"time_s": self.clock(), "dataset": dataset, "test": name, "reason": reason}
        log.warning(
            "drift: %s (false-alarm rate %g)%s",
            reason,
            self.false_alarm,
            "; every question goes to the last tier" if self.all_to_llm else "",
        )
        if self.path is not None:
            try:
                with atomic_write(self.path) as temporary:
                    temporary.write_text(json.dumps(self.alarm) + "\n", encoding="utf-8")
            except (OSError, UserError) as error:
                log.warning("%s: %s; the alarm stands in this worker only", self.path, error)
                self.path = None

    def _refresh(self) -> bool:
        """Follow the file: an alarm of another worker counts here, and one whose file is removed ends."""
        now = self.clock()
        if self.path is None or now - self.looked_at < REFRESH_S:
            return self.alarm is not None
        self.looked_at = now
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            self.alarm = found if isinstance(found, dict) else {"reason": "unreadable alarm"}
        except FileNotFoundError:
            if self.alarm is not None:
                self.alarm = None
                self._start()
                log.warning("drift: %s was removed; the tests restart", self.path)
        except (OSError, ValueError):
            self.alarm = self.alarm or {"reason": f"{self.path} cannot be read"}
        return self.alarm is not None
