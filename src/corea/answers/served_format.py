"""Files of a served log: one row per request, as a live cascade writes them and an evaluation reads them.

    FOLDER/served_log.json              marks the folder
    FOLDER/tail-NAME.jsonl              one line per request; its writer holds a lock on it
    FOLDER/part-NAME.parquet            what a tail becomes
    FOLDER/feedback.jsonl               verdicts on requests, later ones last
    FOLDER/operating_points/SHA256.json operating points that decided

One line of a tail, shortened:

    {"request_id": "r1", "time_s": 1.7e9, "dataset": "sums", "reason": "kept", "shadow": true, "agrees": true,
     "shadow_probability": 0.05,
     "tiers": [{"tier": 0, "confidence": 0.9, "signals": {"verbalized": 0.9}, ...}, {"tier": 1, ...}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.errors import UserError

MARKER = "served_log.json"
FEEDBACK = "feedback.jsonl"
POINTS = "operating_points"
TAIL, PART = "tail-", "part-"

TIER = pa.struct(
    [
        ("tier", pa.int64()),
        ("model", pa.string()),
        ("status", pa.string()),
        ("confidence", pa.float64()),
        ("threshold", pa.float64()),
        ("signals", pa.map_(pa.string(), pa.float64())),
        ("prompt_tokens", pa.int64()),
        ("cached_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cost_usd", pa.float64()),
        ("latency_s", pa.float64()),
        ("answer", pa.string()),
        ("text", pa.string()),
        ("error", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("time_s", pa.float64()),
        ("operating_point", pa.string()),
        ("dataset", pa.string()),
        ("question_id", pa.string()),
        ("question", pa.string()),
        ("tier", pa.int64()),
        ("reason", pa.string()),
        ("fallback", pa.bool_()),
        ("unbound", pa.bool_()),
        ("http_status", pa.int64()),
        ("stream", pa.bool_()),
        ("total_s", pa.float64()),
        ("shadow", pa.bool_()),
        ("shadow_probability", pa.float64()),
        ("agrees", pa.bool_()),
        ("tiers", pa.list_(TIER)),
    ]
)
"""Columns of a part: the fields of a served record."""


def is_served_log(path: str | Path) -> bool:
    """True for the folder of a served log."""
    return (Path(path) / MARKER).is_file()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file. Lines that a crash or a full disk has cut are passed over."""
    rows = []
    with open(path, "rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
    return rows


def part_table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """The requests `rows` in the columns SCHEMA; other keys are left out."""
    shaped = [{**row, "tiers": [_tier(t) for t in row.get("tiers") or ()]} for row in rows]
    return pa.Table.from_pylist(shaped, schema=SCHEMA)


def _tier(tier: dict[str, Any]) -> dict[str, Any]:
    return {**tier, "signals": list((tier.get("signals") or {}).items())}


def part_rows(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The requests of a part, in the shape of a tail's lines."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path, columns=columns).to_pylist()
    for row in rows:
        for tier in row.get("tiers") or ():
            tier["signals"] = dict(tier["signals"] or ())
    return rows


def log_files(folder: Path) -> Iterator[Path]:
    """Tails, then parts, each listed when it is their turn: a tail that becomes a part meanwhile is not missed."""
    for pattern in (f"{TAIL}*.jsonl", f"{PART}*.parquet"):
        yield from sorted(folder.glob(pattern))


def read_requests(folder: str | Path) -> list[dict[str, Any]]:
    """All requests of a served log by time; of several with one request id, the last one.

    The log may be written to meanwhile. Raises UserError where a part is damaged or a line lacks what every one has.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in log_files(Path(folder)):
        try:
            rows = part_rows(path) if path.suffix == ".parquet" else read_lines(path)
        except FileNotFoundError:
            continue  # it has become a part, which comes later
        except pa.ArrowException as error:
            raise UserError(
                f"{path}: not a readable part of a served log: {str(error).splitlines()[0][:120]}"
            ) from error
        for row in rows:
            if not isinstance(row.get("request_id"), str) or not isinstance(row.get("time_s"), int | float):
                raise UserError(f"{path}: not a served log: a row lacks request_id or time_s")
            found[row["request_id"]] = row
    return sorted(found.values(), key=lambda row: (row["time_s"], row["request_id"]))


def read_feedback(folder: str | Path) -> dict[str, dict[int | None, bool]]:
    """Request id -> tier (None: the one whose answer was returned) -> its last verdict."""
    path = Path(folder) / FEEDBACK
    verdicts: dict[str, dict[int | None, bool]] = {}
    for line in read_lines(path) if path.exists() else []:
        if isinstance(line.get("request_id"), str) and isinstance(line.get("correct"), bool):
            verdicts.setdefault(line["request_id"], {})[line.get("tier")] = line["correct"]
    return verdicts


def read_points(folder: str | Path) -> dict[str, dict[str, Any]]:
    """sha256 -> operating point that decided requests of the log; damaged ones are passed over."""
    points = {}
    for path in sorted((Path(folder) / POINTS).glob("*.json")):
        try:
            points[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
    return points
