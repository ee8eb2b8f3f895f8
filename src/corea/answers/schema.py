"""Arrow types of the answers table, from the list of its columns (`corea.config.answer_columns`), and its writer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.config.answer_columns import COLUMNS
from corea.runtime import atomic_write

ARROW = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64(), "verdict": pa.bool_()}
"""Kind of a column -> its Arrow type."""
TYPES = {column.name: ARROW[column.kind] for column in COLUMNS}
"""Column -> its Arrow type, in the order in which columns are written."""
REQUIRED = tuple(column.name for column in COLUMNS if column.required)
OPTIONAL = tuple(column.name for column in COLUMNS if column.optional)


def write_answers(path: Path, rows: Sequence[dict[str, Any]], meta: dict[str, Any]) -> None:
    """Write the answers table as a Parquet file, atomically.

    Args:
        rows: one dict per answer; keys outside the list of columns are signals (float64) and are written last.
        meta: what the reader gets back as `Answers.meta`; stored in the schema under the key "corea".
    """
    import pyarrow.parquet as pq

    signals = sorted({name for row in rows for name in row if name not in TYPES})
    types = {**TYPES, **dict.fromkeys(signals, pa.float64())}
    arrays = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
    kept = {name: array for name, array in arrays.items() if name not in OPTIONAL or array.null_count < len(array)}
    table = pa.table(kept).replace_schema_metadata({"corea": json.dumps(meta)})
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
