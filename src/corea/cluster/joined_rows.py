"""The finished rows of all units as one table and one summary, one unit at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from corea.cascade.live_point import LivePoint, PointFile
from corea.cluster.unit_files import unit_file
from corea.runtime import atomic_write
from corea.serving.answered_table import LastTierAlone, Summary, add_summaries, summarise_rows

Pieces = dict[int, list[int]]
"""Unit -> the tiers that have finished its rows."""


def finished_units(file: Path) -> tuple[Pieces, set[int]]:
    """(pieces of every finished unit, the units of which nothing is to be asked again).

    A last line that is cut off is left out: its unit is processed again.
    """
    pieces: Pieces = {}
    whole: set[int] = set()
    if not file.exists():
        return pieces, whole
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        pieces[entry["unit"]] = entry["pieces"]
        (whole.add if entry["whole"] else whole.discard)(entry["unit"])
    return pieces, whole


def join_rows(
    folder: Path, pieces: Pieces, out: Path, file: PointFile, points: dict[str, LivePoint], repriced: bool
) -> Summary:
    """Write the rows of units 0, 1, ... in the order of the questions to `out`; returns the summary of all."""
    summary: Summary | None = None
    alone = LastTierAlone()
    with atomic_write(out) as temporary:
        writer: pq.ParquetWriter | None = None
        for unit in sorted(pieces):
            table = _unit_rows(folder, unit, pieces[unit])
            if writer is None:
                writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
            found = table.to_pylist()
            part = summarise_rows(found, file, points, repriced)
            alone.add(found, points, repriced)
            summary = part if summary is None else add_summaries(summary, part, alone)
        assert writer is not None, "there is at least one unit"
        writer.close()
    assert summary is not None
    return summary


def _unit_rows(folder: Path, unit: int, tiers: Sequence[int]) -> pa.Table:
    parts = [pq.read_table(unit_file(folder, unit, tier)) for tier in sorted(set(tiers))]
    return pa.concat_tables(parts).sort_by("place").drop_columns(["place"])
