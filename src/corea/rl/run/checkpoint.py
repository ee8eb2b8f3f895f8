"""Atomic, checksummed checkpoints.

checkpoints/step-000050/
    state/          weights and optimizer state in DeepSpeed's format
    model/          weights (safetensors) and tokenizer in Hugging Face format
    drawn/          with trainer.off_policy_steps=1: the batch that was drawn for the next step, one file per process
    progress.json   step, number of processes, counts of questions, best validation
    manifest.json   size and SHA-256 of each of these files

A checkpoint is written to a hidden folder in the same place, flushed to disk and renamed. It is valid only if every
file agrees with the manifest. This is checked before loading, because DeepSpeed's files are pickles.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.rl.run.distributed import barrier, gather, rank
from corea.runtime import atomic_folder

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
PROGRESS = "progress.json"
UNIVERSAL = "universal-{}"
"""Folder of a converted checkpoint, while it is loaded."""


@dataclass(slots=True, kw_only=True)
class Checkpoint:
    """An intact checkpoint."""

    step: int
    """Completed steps of the loop."""
    path: Path
    progress: dict[str, Any]


class Checkpoints:
    """The folder checkpoints/ of a run. Every rank calls every method; rank 0 creates, reads and deletes folders."""

    def __init__(self, folder: Path, keep_last: int):
        self.folder = folder
        self.keep_last = keep_last
        if rank() == 0:
            for pattern in (".step-*", UNIVERSAL.format("*"), f".{UNIVERSAL.format('*')}"):
                for left_over in folder.glob(pattern):  # from a process that was killed while it was writing
                    shutil.rmtree(left_over, ignore_errors=True)
        barrier()

    def save(self, step: int, progress: dict[str, Any], write: Callable[[Path], None], best: int = 0) -> Path:
        """Write a checkpoint and delete the oldest ones, except that of step `best`.

        Args:
            write: writes state/ and model/ into a folder; called on every rank.

        Raises:
            UserError: the disk is full, or a rank does not see rank 0's folder. Earlier checkpoints are untouched.
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
            hidden = old.with_name(f".{old.name}.old")  # hidden: a partly deleted folder must not be found
            os.replace(old, hidden)
            shutil.rmtree(hidden)
        return path

    def latest(self) -> Checkpoint | None:
        """The newest intact checkpoint; newer damaged ones are logged. None if nothing was saved yet.

        Raises:
            UserError: all checkpoints are damaged. Starting over silently would discard the run's progress.
        """
        paths = self._paths()
        found = None
        if rank() == 0:
            found = next((c for path in paths if (c := self._read(path)) is not None), None)
        found = gather(found)[0]
        if found is None and paths:
            raise UserError(
                f"{paths[0]}: damaged, and no older checkpoint is intact; remove {self.folder} to start over, or use "
                "another run folder"
            )
        return found

    @contextmanager
    def converted(self, found: Checkpoint, write: Callable[[Path], None]) -> Iterator[Path]:
        """A folder that rank 0 fills by `write` from the checkpoint `found`, for all ranks; deleted at the end.

        The other ranks look for the folder instead of waiting in a collective, whose time limit (10 minutes in
        DeepSpeed) is too short for a large model. If rank 0 fails, the launcher ends them.

        Raises:
            UserError: the disk is full, or a rank does not see the folder of the checkpoint.
        """
        path = self.folder / UNIVERSAL.format(f"{found.step:06d}")
        _require_shared(found.path)
        if rank() == 0:
            with atomic_folder(path) as temporary:
                write(temporary)
        while not path.is_dir():
            time.sleep(0.2)
        barrier()
        yield path
        barrier()
        if rank() == 0:
            shutil.rmtree(path)

    def _paths(self) -> list[Path]:
        """Checkpoint folders, newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def _read(self, path: Path) -> Checkpoint | None:
        damage = find_damage(path)
        if damage is not None:
            log.warning("checkpoint %s is damaged (%s) and is skipped", path, damage)
            return None
        progress = json.loads((path / PROGRESS).read_text())
        return Checkpoint(step=progress["step"], path=path, progress=progress)


def _require_shared(folder: Path) -> None:
    """Check that every rank, also on other machines, sees the folder: each writes a part of the checkpoint."""
    blind = [number for number, seen in enumerate(gather(folder.is_dir())) if not seen]
    if blind:
        raise UserError(
            f"{folder.parent}: process {blind[0]} does not see this folder of process 0; several machines need "
            "hydra.run.dir on a shared file system"
        )


def manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below `folder`, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files}


def find_damage(folder: Path) -> str | None:
    """The damage of a checkpoint, in words; None if it is intact."""
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
            return f"{name} differs from its checksum"
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that renames in it survive a power failure; no effect on systems that cannot do this."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
