"""Parquet files and Hugging Face folders as Arrow tables (the Arrow half of `corea.tabular`), and hashes of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.tabular_text import COMPRESSED, KINDS, no_duplicates, read_bytes, refuse

Wanted = Callable[[str], bool]
"""Whether a column is to be read."""


def parquet_table(path: Path, wanted: Wanted) -> tuple[pa.Table, list[str], dict[str, Any]]:
    """Wanted columns, names of all, and what the collector wrote into the schema."""
    import pyarrow.parquet as pq

    source = pa.BufferReader(read_bytes(path)) if path.suffix.lower() in COMPRESSED else path
    try:
        file = pq.ParquetFile(source)
        found = file.schema_arrow.names
        no_duplicates(path, found)
        table = file.read(columns=[name for name in found if wanted(name)])
    except (pa.ArrowException, OSError) as error:  # whatever is wrong inside a file from elsewhere
        reason = str(error).splitlines()[0]
        raise refuse(path, f"not a readable Parquet file (truncated or damaged): {reason}") from error
    try:
        meta = json.loads((table.schema.metadata or {}).get(b"corea", b"{}"))
    except ValueError:  # another tool's metadata under our key
        meta = {}
    return table, found, meta if isinstance(meta, dict) else {}


def folder_table(path: Path, wanted: Wanted) -> tuple[pa.Table, list[str], dict[str, Any]]:
    """A Hugging Face data set folder (see folder_files). The library `datasets` is not needed.

    Where the files hold no column `split` and the folder several splits, the name of each becomes the column.
    """
    files = folder_files(path)
    if not files:
        what = f"a file ending in {', '.join(KINDS)}, or a folder of Dataset.save_to_disk or of the hub"
        raise refuse(path, f"is a folder without *.arrow or *-of-*.parquet; allowed is {what}")
    tables: list[pa.Table] = []
    found: dict[str, None] = {}
    for file, split in files:
        table, names, _ = _arrow_stream(file, wanted) if file.suffix == ".arrow" else parquet_table(file, wanted)
        if len({s for _, s in files}) > 1 and "split" not in table.column_names and wanted("split"):
            table = table.append_column("split", pa.array([split] * len(table), pa.string()))
        tables.append(table)
        found |= dict.fromkeys(names)
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise refuse(path, f"its files do not fit together: {str(error).splitlines()[0]}") from error
    return whole, list(found), {}


def folder_files(path: Path) -> list[tuple[Path, str]]:
    """Data files of a folder with the split that each belongs to: what Dataset.save_to_disk wrote (*.arrow), what
    DatasetDict.save_to_disk wrote (SPLIT/*.arrow), or a copy of a hub repository (data/SPLIT-*-of-*.parquet)."""
    for files in (sorted(path.glob("*.arrow")), sorted(path.glob("*/*.arrow"))):
        if files:
            return [(file, file.parent.name) for file in files if not file.name.startswith("cache-")]
    shards = sorted(path.glob("*-of-*.parquet")) or sorted(path.glob("*/*-of-*.parquet"))
    return [(file, file.name.split("-")[0]) for file in shards]


def _arrow_stream(file: Path, wanted: Wanted) -> tuple[pa.Table, list[str], dict[str, Any]]:
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            table = stream.read_all()
    except (pa.ArrowException, OSError) as error:  # whatever is wrong inside a file from elsewhere
        raise refuse(file, f"not a readable Arrow stream: {str(error).splitlines()[0]}") from error
    no_duplicates(file, table.column_names)
    return table.select([name for name in table.column_names if wanted(name)]), table.column_names, {}


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of the data files of a folder one after the other."""
    if Path(path).is_dir():
        parts = [file_hash(file) for file, _ in folder_files(Path(path))]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
