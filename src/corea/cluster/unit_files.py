"""Files of a unit of work, each written whole or not at all: the answers of a tier, and the finished rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corea.collecting.answer_store import NOT_KEPT, KnownCompletions
from corea.runtime import atomic_write
from corea.types import Completion

KEPT = [f.name for f in fields(Completion) if f.name not in NOT_KEPT]
"""Fields of a completion that are stored."""
SCHEMA = pa.schema(
    [
        ("question", pa.string()),
        ("sample", pa.int64()),
        *[(name, pa.string()) for name in ("text", "finish_reason", "model", "error", "extra")],
        *[(name, pa.int64()) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")],
        ("latency_s", pa.float64()),
    ]
)


def completion_record(completion: Completion) -> dict[str, Any]:
    """The stored fields; `extra` as JSON."""
    record = {name: getattr(completion, name) for name in KEPT}
    return {**record, "extra": json.dumps(completion.extra)}


def read_completion(record: dict[str, Any]) -> Completion:
    """The completion of a record."""
    return Completion(**{**{name: record[name] for name in KEPT}, "extra": json.loads(record["extra"])})


def unit_file(folder: Path, unit: int, piece: int | None = None) -> Path:
    """The file of a unit; `piece`: the tier that has finished its rows."""
    return folder / f"unit-{unit:07d}{'' if piece is None else f'-{piece}'}.parquet"


class UnitStore(KnownCompletions):
    """One tier's completions of the questions of one unit, as answer_store.Store has them for all questions."""

    def __init__(self, folder: Path, unit: int):
        """Read the file of the unit if there is one."""
        super().__init__()
        self.path = unit_file(folder, unit)
        if self.path.exists():
            for record in pq.read_table(self.path).to_pylist():
                self.known[record["question"], record["sample"]] = read_completion(record)

    def add(self, answers: Iterable[tuple[str, list[Completion]]]) -> None:
        """Add the samples of several questions and write the file."""
        for question, completions in answers:
            for sample, completion in enumerate(completions):
                self.known[question, sample] = completion
        rows = [{"question": q, "sample": n, **completion_record(c)} for (q, n), c in self.known.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as temporary:
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary, compression="zstd")
