"""A process for one of the user's reward functions: one that hangs or crashes cannot stop the training."""

from __future__ import annotations

import json
import logging
import os
import pickle
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from typing import Any

from corea.config.reward_schema import ExtraRewardConfig
from corea.errors import UserError
from corea.rl.rollout.reward_worker import HEADER
from corea.types import Rollout

log = logging.getLogger(__name__)
START_SECONDS = 900.0
"""Limit of starting the process; imports on a busy machine take long."""
IN_A_ROW = 3
"""Questions without a result in time, one after another, after which the run stops."""


class RewardProcess:
    """Runs one reward function. Questions are sent in batches; results come back one by one."""

    def __init__(self, name: str, cfg: ExtraRewardConfig, prompt: str):
        self.key = f"reward.extra.{name}"
        self.cfg = cfg
        self.setup = (f"{self.key}._target_", cfg._target_, dict(cfg.params), prompt)
        self.process: subprocess.Popen | None = None
        self.output = b""
        self.timeouts = 0
        """Questions without a result in time, so far."""

    def values(self, groups: Sequence[Sequence[Rollout]]) -> list[list[float] | None]:
        """The numbers that the function returns for the rollouts of each question; None: no result in `timeout_s`.

        Raises:
            UserError: the function cannot be loaded, raises, ends its process twice, or is late IN_A_ROW times.
        """
        found: dict[int, list[float] | None] = {}
        late = crashed = 0
        while len(found) < len(groups):
            done = len(found)
            reason, begun = self._batch([(i, list(g)) for i, g in enumerate(groups) if i not in found], found)
            if reason is None:
                break
            self.close()
            late = late + 1 if reason == "late" and len(found) == done else int(reason == "late")
            crashed = crashed + 1 if reason != "late" and len(found) == done else int(reason != "late")
            if crashed > 1:
                raise UserError(f"{self.key}={self.cfg._target_}: its process ended twice ({reason})")
            if reason == "late":
                self.timeouts += len(begun)
                found |= dict.fromkeys(begun)
                log.warning(
                    "%s: no result within %g s for %d question(s); their component is 0",
                    self.key, self.cfg.timeout_s, len(begun),
                )  # fmt: skip
            if late >= IN_A_ROW:
                raise UserError(
                    f"{self.key}={self.cfg._target_}: no result within timeout_s={self.cfg.timeout_s:g} for {late} "
                    "questions in a row; make the function faster, or raise timeout_s"
                )
        return [found[i] for i in range(len(groups))]

    def _batch(
        self, batch: list[tuple[int, list[Rollout]]], found: dict[int, list[float] | None]
    ) -> tuple[str | None, set[int]]:
        """Send a batch and enter its results into `found`.

        Returns:
            (None, {}) when all results are there; else why not, "late" or how the process ended, and the questions
            that it had begun.
        """
        begun: set[int] = set()
        missing = {number for number, _ in batch}
        try:
            self.start()
            self._write(batch)
            while missing:
                for message in self._read(self.cfg.timeout_s):
                    if "begun" in message:
                        begun.add(message["begun"])
                        continue
                    found[message["done"]] = self._result(message)
                    begun.discard(message["done"])
                    missing.discard(message["done"])
        except TimeoutError:
            return "late", begun
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return self._ending(), begun
        return None, begun

    def _result(self, message: dict[str, Any]) -> list[float]:
        if "failed" not in message:
            return message["values"]
        self.close()
        if message["mistake"]:
            raise UserError(message["failed"])
        raise UserError(f"{self.key}={self.cfg._target_}: raised {message['failed']}")

    def start(self) -> None:
        """Start the process and load the function there, unless it runs.

        Raises:
            UserError: the function cannot be loaded.
        """
        if self.process is not None and self.process.poll() is None:
            return
        self.close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "corea.rl.rollout.reward_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            bufsize=0,
        )
        weakref.finalize(self, _end, self.process)  # also at the end of the interpreter
        self.output = b""
        self._write(self.setup)
        for message in self._read(START_SECONDS):
            if "fatal" in message:
                raise UserError(message["fatal"])

    def _write(self, value: Any) -> None:
        assert self.process is not None
        payload = pickle.dumps(value)
        view = memoryview(len(payload).to_bytes(HEADER, "big") + payload)
        while view:
            view = view[self.process.stdin.write(view) :]  # type: ignore[union-attr]

    def _read(self, seconds: float) -> list[dict[str, Any]]:
        """The next complete messages. Raises TimeoutError, or EOFError at the end of the process."""
        assert self.process is not None
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self.output:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise EOFError
            self.output += chunk
        *lines, self.output = self.output.split(b"\n")
        return [json.loads(line) for line in lines]

    def _ending(self) -> str:
        assert self.process is not None
        status = self.process.wait()
        return signal.Signals(-status).name if status < 0 else f"exit code {status}"

    def close(self) -> None:
        """Kill the process; the next batch starts another."""
        if self.process is not None:
            _end(self.process)
        self.process = None


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
