"""Reads a W&B run file (run-ID.wandb) back with W&B's own record types.

Since 0.31 the wandb package has no reader in Python, only `wandb leet` and `wandb sync`, so the framing is read here: a
7-byte header, then blocks of 32 KiB with fragments of [crc32 u32, length u16, type u8], as in LevelDB's log.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Record]:
    """Every record; an assertion fails where a checksum does."""
    data = path.read_bytes()
    assert struct.unpack("<4sHB", data[:7]) == (b":W&B", 0xBEE1, 0)
    position, parts = 7, []
    while position < len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        if len(data) - position < 7:
            return  # still being written
        checksum, length, kind = struct.unpack("<IHB", data[position : position + 7])
        payload = data[position + 7 : position + 7 + length]
        if len(payload) < length:
            return  # still being written
        assert zlib.crc32(bytes([kind]) + payload) == checksum
        position += 7 + length
        parts = [payload] if kind in (FULL, FIRST) else [*parts, payload]
        if kind in (FULL, LAST):
            yield Record.FromString(b"".join(parts))


def read_run(run_dir: Path) -> dict[str, Any]:
    """All W&B runs under RUN_DIR/wandb as one: id(s), history rows, config, summary, axis of each metric, folders."""
    found: dict[str, Any] = {"ids": [], "history": [], "config": {}, "summary": {}, "axes": {}, "files": []}
    for file in sorted((run_dir / "wandb").glob("offline-run-*/run-*.wandb")):
        found["files"].append(file)
        for record in _finished(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                found["ids"].append(record.run.run_id)
                found["config"] |= _items(record.run.config.update)
            elif kind == "config":
                found["config"] |= _items(record.config.update)
            elif kind == "summary":
                found["summary"] |= _items(record.summary.update)
            elif kind == "history":
                found["history"].append(_items(record.history.item))
            elif kind == "metric" and record.metric.step_metric:
                found["axes"][record.metric.name] = record.metric.step_metric
    return found


def _finished(file: Path, patience: float = 20.0) -> list[Record]:
    """The records, once the last one is there: W&B's own process writes the file, and a little later than we log."""
    deadline = time.monotonic() + patience
    while True:
        found = list(records(file))
        if any(r.WhichOneof("record_type") == "exit" for r in found):
            return found
        assert time.monotonic() < deadline, f"{file} was never finished"
        time.sleep(0.05)


def _items(items: Any) -> dict[str, Any]:
    """A nested key is spelled as a list of its parts."""
    found: dict[str, Any] = {}
    for item in items:
        *path, leaf = item.nested_key or [item.key]
        node = found
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = json.loads(item.value_json)
    return found
