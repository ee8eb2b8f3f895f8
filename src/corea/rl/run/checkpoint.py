"""Checkpoints that are whole or not there.

checkpoints/step-000050/
    state/          weights and optimizer, DeepSpeed's format
    model/          weights as safetensors with tokenizer, Hugging Face format
    progress.json   step, processes, counts of the data stream
    manifest.json   size and SHA-256 of each of these files

A checkpoint is written into a hidden folder beside, flushed, and renamed. It counts only while every file agrees with
the manifest; DeepSpeed's files are pickles and are not opened before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.rl.run.distributed import barrier, gather, rank
from corea.runtime import atomic_folder

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
PROGRESS = "progress.json"


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """One that was found whole."""

    step: int
    """Optimizer steps of the loop that it holds."""
    path: Path
    progress: dict[str, Any]


class Checkpoints:
    """The folder checkpoints/ of a run. Every process calls every method; the first one touches the disk."""

    def __init__(self, folder: Path, keep_last: int):
        self.folder = folder
        self.keep_last = keep_last
        if rank() == 0:
            for left_over in folder.glob(".step-*"):  # of a process that was killed while it wrote
                shutil.rmtree(left_over, ignore_errors=True)
        barrier()

    def save(self, step: int, progress: dict[str, Any], write: Callable[[Path], None], best: int = 0) -> Path:
        """Write a checkpoint by `write(folder)` and drop the oldest ones but that of step `best`.

        Raises:
            UserError: the disk is full, or a process does not see the first one's folder; the checkpoints before are
                untouched.
        """
        path = self.folder / f"step-{step:06d}"
        if rank() != 0:
            temporary = gather(None)[0]
            _require_shared(temporary)
            write(temporary)
            barrier()
            return path
        with atomic_folder(path) as temporary:
            gather(temporary)
            _require_shared(temporary)
            write(temporary)
            barrier()
            (temporary / PROGRESS).write_text(json.dumps({"step": step, **progress}, indent=1))
            (temporary / MANIFEST).write_text(json.dumps(manifest(temporary), indent=1))
        sync_folder(self.folder)
        for old in self._paths()[self.keep_last :]:
            if old.name == f"step-{best:06d}":
                continue
            hidden = old.with_name(f".{old.name}.old")  # a name that no search finds half deleted
            os.replace(old, hidden)
            shutil.rmtree(hidden)
        return path

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint; damaged newer ones are named in the log. None where nothing was saved yet.

        Raises:
            UserError: all are damaged; starting anew would throw away what the run has reached.
        """
        paths = self._paths()
        found = None
        if rank() == 0:
            found = next((c for path in paths if (c := self._read(path)) is not None), None)
        found = gather(found)[0]
        if found is None and paths:
            raise UserError(
                f"{paths[0]}: damaged, and no older checkpoint is whole; remove {self.folder} to start anew, or use "
                "another run folder"
            )
        return found

    def _paths(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def _read(self, path: Path) -> Checkpoint | None:
        damage = find_damage(path)
        if damage is not None:
            log.warning("checkpoint %s is damaged (%s) and passed over", path, damage)
            return None
        progress = json.loads((path / PROGRESS).read_text())
        return Checkpoint(step=progress["step"], path=path, progress=progress)


def _require_shared(folder: Path) -> None:
    """Every process writes a part, those of other machines too."""
    blind = [number for number, seen in enumerate(gather(folder.is_dir())) if not seen]
    if blind:
        raise UserError(
            f"{folder.parent}: process {blind[0]} does not see this folder of the first one; several machines need "
            "hydra.run.dir on a file system that they share"
        )


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below `folder`, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files}


def find_damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None where nothing is."""
    try:
        expected = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return f"{MANIFEST} is missing or unreadable"
    if PROGRESS not in expected:
        return f"{MANIFEST} does not list {PROGRESS}"
    for name, entry in expected.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, {entry['bytes']} were written"
        if sha256(file) != entry["sha256"]:
            return f"{name} does not have the checksum it was written with"
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut; not every file system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
