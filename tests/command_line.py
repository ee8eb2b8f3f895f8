"""Helpers to run a verb: in a process of its own, or with a function that must not be called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from warm_python import without_launcher


def never(cfg):
    raise AssertionError("must not run")


def shell(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**without_launcher(os.environ), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
