"""Store of completions: one append-only JSONL file per tier, so that a resumed run answers no question twice.

Each line is one completion. A chunk is appended in one write and flushed to disk. A partial last line, left by a crash,
is cut off when the file is opened again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from corea.collecting.plan import Tier
from corea.errors import UserError
from corea.types import Completion

NOT_KEPT = ("prompt_ids", "token_ids", "logprobs")
"""Fields of a completion that are not stored."""


class KnownCompletions:
    """Completions in memory, by question (its key) and sample."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], Completion] = {}

    def has(self, question: str, samples: int) -> bool:
        """Whether a question has `samples` completions, none of them an error."""
        kept = [self.known.get((question, sample)) for sample in range(samples)]
        return all(c is not None and c.finish_reason != "error" for c in kept)

    def get(self, question: str, sample: int) -> Completion:
        """The most recently added completion."""
        return self.known[question, sample]


class Store(KnownCompletions):
    """The completions of one tier, by question and sample. Only one process can open it at a time."""

    def __init__(self, folder: Path, tier: Tier):
        """Open or create `folder`/LABEL-HASH.jsonl, where HASH covers everything that the answers depend on."""
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__()
        self.path = self.path_of(folder, tier)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.descriptor)
            raise UserError(f"{self.path}: another corea.collect is writing to it") from error
        if not self._read():
            self._write(json.dumps({"tier": tier.identity()}) + "\n")

    @staticmethod
    def path_of(folder: Path, tier: Tier) -> Path:
        """The file of `tier`."""
        key = hashlib.sha256(json.dumps(tier.identity(), sort_keys=True).encode()).hexdigest()[:12]
        return folder / f"{tier.label}-{key}.jsonl"

    def add(self, answers: Iterable[tuple[str, list[Completion]]]) -> None:
        """Append the samples of several questions and flush them to disk."""
        lines = []
        for question, completions in answers:
            for sample, completion in enumerate(completions):
                self.known[question, sample] = completion
                lines.append(json.dumps({"question": question, "sample": sample, **_record(completion)}))
        self._write("".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        """Close the file and release its lock."""
        os.close(self.descriptor)

    def _write(self, text: str) -> None:
        start = os.fstat(self.descriptor).st_size
        rest = text.encode()
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
            os.fsync(self.descriptor)
        except OSError as error:  # e.g. a full disk: restore the last complete state
            os.ftruncate(self.descriptor, start)
            error.filename = str(self.path)
            raise

    def _read(self) -> int:
        """Read the complete lines and cut off a partial one; returns the number of bytes kept."""
        end = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                end += len(line)
                row = _parsed(line)
                if row is not None:
                    question, sample = row.pop("question"), row.pop("sample")
                    self.known[question, sample] = Completion(**row)
        os.ftruncate(self.descriptor, end)
        return end


def _record(completion: Completion) -> dict[str, Any]:
    return {name: value for name, value in asdict(completion).items() if name not in NOT_KEPT}


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The fields of a completion; None for the header and for a damaged line, whose question is answered again."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    names = {field.name for field in fields(Completion)} - set(NOT_KEPT)
    return row if isinstance(row, dict) and row.keys() == names | {"question", "sample"} else None
