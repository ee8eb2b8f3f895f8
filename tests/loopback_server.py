"""Start a real server on loopback and wait until it answers."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> Iterator[str]:
    """Run `command` with --host and --port of a free port; yields the URL of its API.

    Raises:
        AssertionError: the process ends before it answers.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [*command, "--host", HOST, "--port", str(port)]
    with open(log_file, "w") as log:
        process = subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, log_file.read_text()
                time.sleep(0.5)
        yield f"http://{HOST}:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)
