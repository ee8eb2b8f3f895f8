"""A pool of worker processes that can be killed: grading can neither hang nor crash the run.

Workers are plain subprocesses; the first answer that needs one starts them. They are not forked, because threads and
devices of this process must not be copied, and no signals are used here, so that any thread may grade.
"""

from __future__ import annotations

import atexit
import json
import os
import pickle
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from corea.errors import UserError
from corea.tasks.grading.names import is_own, kind
from corea.tasks.grading.rulings import set_unevaluated, verdict
from corea.types import Outcome, Question, Verdict

START_SECONDS = 900.0
"""Worker start-up timeout; imports on a busy machine take long."""
PATIENCE = 20.0
"""Limit of an answer in wall-clock seconds, per second of its limit in processor time; large, for busy machines."""
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)
Selector = selectors.BaseSelector
Verdicts = dict[int, Verdict]
JOBS = 5000
"""Answers after which a worker is replaced, because caches of libraries grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of grading one answer, and the number of processes."""

    seconds: float = 3.0
    """Processor time per answer."""
    memory_mb: int = 1024
    """Private memory per worker."""
    workers: int = 0
    """Number of processes; 0: one per processor, at most 8."""
    unevaluated: str = "wrong"
    """Verdict of answers that equal the gold but are not evaluated: wrong or right."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One answer to judge."""

    index: int
    grader: str
    question: Question
    answer: str
    retried: bool = False


class _Worker:
    """One process: idle, busy with a job, or starting."""

    def __init__(self, limits: Limits, secrets: bool):
        self.limits = limits
        command = [sys.executable, "-m", "corea.tasks.grading.worker"]
        environment = {k: v for k, v in os.environ.items() if secrets or not _SECRET.search(k)}
        environment |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, str(limits.seconds), str(limits.memory_mb), limits.unevaluated],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.output = b""
        self.ready = False
        self.prepared: set[tuple[str, str]] = set()
        self.job: Job | None = None
        self.done = 0
        self.deadline = time.monotonic() + START_SECONDS

    def give(self, job: Job) -> bool:
        """Send a job; False if the process has ended."""
        payload = pickle.dumps((job.grader, job.question, job.answer))
        self.job = job
        self.expect(START_SECONDS if kind(job.grader, job.question) not in self.prepared else self.patience)
        try:
            _write(self.stdin, len(payload).to_bytes(8, "big") + payload)
        except (BrokenPipeError, ConnectionResetError):
            self.job = None
            return False
        self.done += 1
        return True

    @property
    def patience(self) -> float:
        """Limit of one answer in wall-clock seconds."""
        return PATIENCE * self.limits.seconds

    def expect(self, seconds: float) -> None:
        """Set the deadline of the next reply."""
        self.deadline = time.monotonic() + seconds

    def read(self) -> list[dict] | None:
        """The complete replies; None if the process has ended."""
        chunk = os.read(self.stdout.fileno(), 65536)
        if not chunk:
            return None
        self.output += chunk
        *lines, self.output = self.output.split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> int:
        """Kill the process; returns its exit status."""
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        self.stdin.close()
        self.stdout.close()
        return status


def _write(stream: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


class Pool:
    """Judges batches of jobs, one batch at a time; further callers wait."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.size = limits.workers or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
        self.workers: list[_Worker] = []
        self.lock = threading.Lock()
        self.secrets = False
        """Whether workers see keys and tokens of the environment, which the user's functions may need."""

    def run(self, jobs: Sequence[Job], counted: Callable[[int], None] = lambda done: None) -> dict[int, Verdict]:
        """Verdicts by the index of the job; `counted` is called with the number of those that are there.

        Raises:
            UserError: the user's function cannot be imported.
        """
        with self.lock:
            secrets = any(is_own(job.grader) for job in jobs)
            if secrets != self.secrets:
                self._end_all()
                self.secrets = secrets
            try:
                return self._run(deque(jobs), counted)
            except BaseException:
                self._end_all()
                raise

    def close(self) -> None:
        """End all workers."""
        with self.lock:
            self._end_all()

    def _end_all(self) -> None:
        for worker in self.workers:
            worker.end()
        self.workers = []

    def _run(self, waiting: deque[Job], counted: Callable[[int], None]) -> dict[int, Verdict]:
        verdicts: dict[int, Verdict] = {}
        with selectors.DefaultSelector() as selector:
            for worker in self.workers:
                selector.register(worker.stdout, selectors.EVENT_READ, worker)
            while waiting or any(w.job for w in self.workers):
                self._hand_out(waiting, selector)
                pause = min((w.deadline for w in self.workers if w.job or not w.ready), default=0) - time.monotonic()
                for key, _ in selector.select(max(0.0, pause)):
                    self._hear(key.data, waiting, verdicts, selector)
                self._late(waiting, verdicts, selector)
                counted(len(verdicts))
        return verdicts

    def _hand_out(self, waiting: deque[Job], selector: Selector) -> None:
        while len(self.workers) < min(self.size, len(waiting) + sum(w.job is not None for w in self.workers)):
            worker = _Worker(self.limits, self.secrets)
            self.workers.append(worker)
            selector.register(worker.stdout, selectors.EVENT_READ, worker)
        for worker in list(self.workers):
            if waiting and worker.ready and worker.job is None:
                job = waiting.popleft()
                if not worker.give(job):
                    waiting.appendleft(job)
                    self._drop(worker, selector)

    def _hear(self, worker: _Worker, waiting: deque[Job], verdicts: Verdicts, selector: Selector) -> None:
        replies = worker.read()
        if replies is None:
            self._lost(worker, waiting, verdicts, selector)
            return
        for reply in replies:
            if "ready" in reply:
                worker.ready = True
            elif "fatal" in reply:
                raise UserError(reply["fatal"])
            elif worker.job is None:
                raise AssertionError("a reply without a job")
            elif "prepared" in reply:
                worker.prepared.add(kind(worker.job.grader, worker.job.question))
                worker.expect(worker.patience)
            else:
                job, worker.job = worker.job, None
                verdicts[job.index] = verdict(Outcome(reply["outcome"]), reply["note"])
                if worker.done >= JOBS or "restart" in reply:
                    self._drop(worker, selector)

    def _late(self, waiting: deque[Job], verdicts: Verdicts, selector: Selector) -> None:
        for worker in list(self.workers):
            if (worker.job or not worker.ready) and time.monotonic() > worker.deadline:
                if worker.job:
                    worker.process.kill()
                    verdicts[worker.job.index] = self._timeout()
                    worker.job = None
                    self._drop(worker, selector)
                else:
                    raise RuntimeError(f"a grading process was not ready after {START_SECONDS:g} s")

    def _lost(self, worker: _Worker, waiting: deque[Job], verdicts: Verdicts, selector: Selector) -> None:
        """Handle the end of a worker: by its time limit, by a crash on the answer, or by a kill from outside."""
        job, started = worker.job, worker.ready
        status = self._drop(worker, selector)
        if not started:
            raise RuntimeError(f"a grading process ended with status {status} before it was ready")
        if job is None:
            return
        if status == -signal.SIGPROF:
            verdicts[job.index] = self._timeout()
        elif job.retried:
            verdicts[job.index] = verdict(Outcome.ERROR, f"the grading process died ({_status(status)})")
        else:
            job.retried = True
            waiting.append(job)

    def _drop(self, worker: _Worker, selector: Selector) -> int:
        selector.unregister(worker.stdout)
        self.workers.remove(worker)
        return worker.end()

    def _timeout(self) -> Verdict:
        return verdict(Outcome.TIMEOUT, f"grading took more than {self.limits.seconds:g} s")


def _status(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


_pool: Pool | None = None
_limits = Limits()
_guard = threading.Lock()


def shared_pool() -> Pool:
    """The pool of this process."""
    global _pool
    with _guard:
        if _pool is None:
            _pool = Pool(_limits)
        return _pool


def set_limits(*, seconds: float, memory_mb: int, workers: int, unevaluated: str = "wrong") -> None:
    """Set the limits of the shared pool and the verdict of unevaluated answers, from now on."""
    global _limits
    wanted = Limits(seconds=seconds, memory_mb=memory_mb, workers=workers, unevaluated=unevaluated)
    if wanted != _limits:
        set_unevaluated(unevaluated)
        close_pool()
        _limits = wanted


def close_pool() -> None:
    """End the workers of the shared pool; the next answer that needs one starts new ones."""
    global _pool
    with _guard:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


atexit.register(close_pool)
