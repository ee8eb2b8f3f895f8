"""Code revision, package versions and hardware of a run. No secrets, no host or user names."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """The record of one start, ready for JSON. Takes a few milliseconds and imports nothing heavy."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "corea": metadata.version("corea"),
        "git": git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpus": _lines("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"),
        "packages": package_versions(),
    }


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Revision of the checkout that tracks `folder`, and whether tracked files differ from it; None if none does."""
    if not _lines("git", "-C", str(folder), "ls-files", "--error-unmatch", "__init__.py"):
        return None  # an installed package inside some other checkout
    revision = _lines("git", "-C", str(folder), "rev-parse", "HEAD")
    changed = _lines("git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision[0], "changed": bool(changed)} if revision else None


def package_versions() -> dict[str, str]:
    """Installed versions of corea's dependencies."""
    names = {m[0].lower() for line in metadata.requires("corea") or [] if (m := re.match(r"[\w.-]+", line))}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Model name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            match = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.MULTILINE)
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _lines(program: str, *arguments: str) -> list[str]:
    """Lines that `program` prints; empty if it is missing, slow or fails."""
    if shutil.which(program) is None:
        return []
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []
