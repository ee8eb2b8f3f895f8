"""Run the jobs of the study: in any order, in several processes, each job once.

A job is locked by a lock of the operating system (flock) on a file in its folder. The commands of the job inherit the
lock, so it lasts until the last of them has ended, however it ended: a killed study loses nothing and repeats nothing
that is still running. A finished job leaves done.json with its commands; a job with other commands is not finished.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corea.runtime import atomic_write
from study.plan import Job

LOCK, DONE, LOG = ".job.lock", "done.json", "log.txt"
POLL = 1.0
"""Seconds between two looks at jobs that other processes run."""
STARTERS = {"python": (sys.executable,), "torchrun": (sys.executable, "-m", "torch.distributed.run")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A job that did not finish."""

    name: str
    line: str
    """What went wrong, with the log file."""


def is_finished(job: Job, root: Path) -> bool:
    """Whether the job has run with these commands."""
    try:
        done = json.loads((root / job.name / DONE).read_text(encoding="utf-8"))
        return bool(done["commands"] == [list(command) for command in job.commands])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def try_lock(folder: Path) -> int | None:
    """A file descriptor that holds the lock of a job, or None if another process or thread has it."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def run_jobs(jobs: Sequence[Job], root: Path, workers: int = 1, say: Callable[[str], None] = print) -> list[Failure]:
    """Run what is not finished, `workers` jobs at a time; returns the jobs that failed, and those that need one.

    Waits for jobs that other processes have. On KeyboardInterrupt or SIGTERM the running commands are told to stop.
    """
    board = _Board(jobs=jobs, root=root, workers=workers, say=say)
    threads = [threading.Thread(target=board.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.2)
    except KeyboardInterrupt:
        board.stop()
        for thread in threads:
            thread.join()
        raise
    return list(board.failures.values())


@dataclass(slots=True, kw_only=True)
class _Board:
    """What the threads of this process share."""

    jobs: Sequence[Job]
    root: Path
    workers: int
    say: Callable[[str], None]
    failures: dict[str, Failure] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)
    processes: set[subprocess.Popen[bytes]] = field(default_factory=set)
    stopping: bool = False
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        """One worker: run jobs until none is left."""
        while (found := self._next()) is not None:
            job, handle = found
            try:
                failure = self._run(job, handle)
            finally:
                os.close(handle)
            if failure is not None and not self.stopping:
                self._fail(failure)

    def stop(self) -> None:
        """Tell the running commands to stop; corea.train saves a checkpoint first."""
        self.stopping = True
        for process in list(self.processes):
            process.send_signal(signal.SIGTERM)

    def _next(self) -> tuple[Job, int] | None:
        """The next job, locked; None when nothing is left. Waits while others run what is left."""
        while not self.stopping:
            with self.mutex:
                left = [job for job in self.jobs if not self._settled(job)]
                for job in left:
                    if not self.finished.issuperset(job.needs):
                        continue
                    handle = try_lock(self.root / job.name)
                    if handle is None:
                        continue
                    if not self._settled(job):  # another process may have finished it since
                        return job, handle
                    os.close(handle)
                if not any(not self._settled(job) for job in left):
                    return None
            time.sleep(POLL)
        return None

    def _settled(self, job: Job) -> bool:
        """Whether nothing remains to be done for a job: it is finished, it failed, or it needs one that failed."""
        if job.name in self.finished or job.name in self.failures:
            return True
        if is_finished(job, self.root):
            self.finished.add(job.name)
            return True
        broken = next((need for need in job.needs if need in self.failures), None)
        if broken is not None:
            self._fail(Failure(name=job.name, line=f"needs {broken}"))
        return broken is not None

    def _fail(self, failure: Failure) -> None:
        self.failures[failure.name] = failure
        self.say(f"failed: {failure.name}: {failure.line}")

    def _run(self, job: Job, handle: int) -> Failure | None:
        folder, begin = self.root / job.name, time.monotonic()
        log = folder / LOG
        self.say(f"start: {job.name}")
        cores = str(max(1, (os.cpu_count() or 1) // self.workers))
        for command in job.commands:
            with open(log, "ab") as out:
                out.write(f"$ {' '.join(command)}\n".encode())
                out.flush()
                process = subprocess.Popen(
                    [*STARTERS.get(command[0], (command[0],)), *command[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    pass_fds=(handle,),
                    env={"OMP_NUM_THREADS": cores, **os.environ},
                )
                self.processes.add(process)
                if self.stopping:  # since the last look
                    process.send_signal(signal.SIGTERM)
                code = process.wait()
                self.processes.discard(process)
            if self.stopping:
                return None
            if code:
                words = " ".join(command[1:3]) if command[1:2] == ("-m",) else command[0]
                return Failure(name=job.name, line=f"{words}: exit status {code}: {last_line(log)} (log: {log})")
        record = {
            "commands": [list(command) for command in job.commands],
            "seconds": round(time.monotonic() - begin, 1),
        }
        with atomic_write(folder / DONE) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        with self.mutex:
            self.finished.add(job.name)
        self.say(f"done: {job.name} in {record['seconds']:.0f} s")
        return None


def last_line(log: Path, most: int = 200) -> str:
    """The last line of a log that is not empty, shortened."""
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][-most:] if lines else "no output"
