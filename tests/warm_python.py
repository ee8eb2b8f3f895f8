"""Commands that start without importing torch again.

`WarmPython` is a process that has imported what a run imports. It forks for each command, so a command is a process of
its own, with its own signals, exit code, streams and memory, as after `python ...`; only the imports are saved. All
workers of a test run share one such process; it ends with the last of them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins

LIBRARIES = (
    "transformers.models.llama.modeling_llama",
    "transformers.models.auto.modeling_auto",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "reasoning_gym",
    "corea.rl.trainer",
    "corea.collecting.answering",
    "corea.engines.local.hf",
    "corea.evaluation.pipeline",
    "corea.report.write_results",
    "sklearn.linear_model",
    "plotly.graph_objects",
)
LAUNCHER = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without a launcher's variables, which a trainer in the tests' process sets for that process."""
    return {name: value for name, value in environment.items() if name not in LAUNCHER}


class Command:
    """A started command, with the methods of subprocess.Popen that the tests use."""

    def __init__(self, python: WarmPython, pid: int, folder: Path):
        self.python, self.pid, self.folder = python, pid, folder
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = self.python.ask({"pid": self.pid})
        return self.returncode

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """Wait for its end; (stdout, stderr)."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("warm python", timeout)
            time.sleep(0.01)
        out, err = ((self.folder / name).read_text() for name in ("stdout", "stderr"))
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class WarmPython:
    """A connection to the process that forks; a context manager. The first one of a test run starts the process."""

    def __enter__(self) -> WarmPython:
        self.outputs = tempfile.TemporaryDirectory()
        self.process: subprocess.Popen | None = None
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
        self.path = Path(tempfile.gettempdir() if run else self.outputs.name, f"warm-{run or os.getpid()}")
        with locked(self.path.with_suffix(".lock")):
            self.connection = self._connected() or self._started()
        self.stream = self.connection.makefile("rw")
        self.count = 0
        return self

    def _connected(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            connection.connect(str(self.path))
            return connection
        connection.close()
        return None

    def _started(self) -> socket.socket:
        self.path.unlink(missing_ok=True)
        environment = without_launcher(os.environ) | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(self.path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", "an import of LIBRARIES failed"
        connection = self._connected()
        assert connection is not None
        return connection

    def __exit__(self, *_) -> None:
        self.stream.close()
        self.connection.close()
        if self.process is not None:
            self.process.communicate()  # it ends with the last connection
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".lock").unlink(missing_ok=True)
        self.outputs.cleanup()

    def start(self, *arguments: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Command:
        """Start `python ARGUMENTS`: a file, -m MODULE or -c CODE, and its arguments. `env`: further variables."""
        self.count += 1
        folder = Path(self.outputs.name, str(self.count))
        folder.mkdir()
        request = {
            "arguments": [str(a) for a in arguments],
            "environment": without_launcher(os.environ) | {"OMP_NUM_THREADS": "1"} | dict(env or {}),
            "cwd": str(cwd or Path.cwd()),
            "outputs": str(folder),
        }
        pid = self.ask(request)
        assert pid is not None
        return Command(self, pid, folder)

    def run(self, *arguments: object, **where) -> subprocess.CompletedProcess:
        """Run `python ARGUMENTS` to its end."""
        command = self.start(*arguments, **where)
        out, err = command.communicate()
        return subprocess.CompletedProcess(list(arguments), command.returncode, out, err)

    def ask(self, request: dict) -> int | None:
        """The answer of the process to one request."""
        self.stream.write(json.dumps(request) + "\n")
        self.stream.flush()
        return json.loads(self.stream.readline())


def free_port() -> int:
    """A port of this machine, for processes that are to meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_two_ranks(python: WarmPython, *arguments: object) -> None:
    """Run a script in two processes with the variables of a launcher; both must succeed."""
    paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    shared = {**paths, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        python.start(*arguments, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)
    ]
    outputs = ["".join(process.communicate(timeout=300)) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Only one process at a time is inside."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def serve(path: str) -> dict:
    """Fork for every request until the last connection ends; returns, in each child, its request."""
    importlib.import_module("corea.rl.run.distributed").import_deepspeed()
    for name in LIBRARIES:
        importlib.import_module(name)
    Plugins.instance()
    gc.collect()
    gc.freeze()  # the collector of a child does not copy what was imported
    gc.set_threshold(100_000, 50, 100)  # as in conftest.py
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    streams: dict[socket.socket, Any] = {}
    while True:
        for ready in select.select([listener, *streams], [], [])[0]:
            if ready is listener:
                connection = listener.accept()[0]
                streams[connection] = connection.makefile("rw")
                continue
            line = streams[ready].readline()
            if not line:
                streams.pop(ready).close()
                ready.close()
                continue
            answer = handle(json.loads(line))
            if isinstance(answer, dict):
                for each in (listener, *streams.values(), *streams):
                    each.close()
                return answer
            streams[ready].write(json.dumps(answer) + "\n")
            streams[ready].flush()
        if not streams:
            os._exit(0)


def handle(request: dict) -> int | dict | None:
    """The exit code of a command (None while it runs), or its process id; the request itself in the new process."""
    if "pid" in request:
        pid, status = os.waitpid(request["pid"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    return os.fork() or request


def execute(request: dict) -> None:
    """Become the process that was asked for."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(Path(request["outputs"], name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, number)
        os.close(target)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    with quick_exit():
        run_arguments(request)


@contextmanager
def quick_exit() -> Iterator[None]:
    """End the process as Python does, but without taking apart, one by one, the modules that were imported."""
    code: object = 0
    try:
        yield
    except SystemExit as stop:
        code = stop.code
    except Exception:  # KeyboardInterrupt takes the usual way
        sys.excepthook(*sys.exc_info())
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def run_arguments(request: dict) -> None:
    """Run the file, module or code."""
    kind, *rest = request["arguments"]
    added = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p not in sys.path[1:]]
    sys.path[:1] = [str(Path(kind).parent) if kind not in ("-m", "-c") else request["cwd"], *added]
    if kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [kind, *rest]
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    execute(serve(sys.argv[1]))
