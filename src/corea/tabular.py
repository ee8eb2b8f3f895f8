"""The one reader of tables: Parquet, JSONL, JSON, CSV and Hugging Face folders, to columns or to rows.

Errors are one line that names file, row or line, and column. Nothing that comes with a file is ever executed.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corea.errors import UserError

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", ".csv")


SHOWN = 5
"""Rows that an error names before it only counts."""


@dataclass(slots=True, kw_only=True)
class Columns:
    """The columns of one file, as read."""

    path: str
    """File that they were read from, for messages."""
    data: dict[str, pa.Array]
    """Column name -> Arrow array [N]."""
    meta: dict[str, Any]
    """What the Parquet schema says under the key "corea"; empty for other files."""
    names: dict[str, str] = field(default_factory=dict)
    """Our name -> the file's, where they differ."""

    def __len__(self) -> int:
        return len(next(iter(self.data.values()))) if self.data else 0

    def where(self, column: str) -> str:
        """File and column as the file calls it, for messages."""
        return f"{self.path}: column {self.names.get(column, column)}"

    def fail(self, column: str, bad: np.ndarray, why: str) -> UserError:
        """The error for the rows where `bad` [N] holds in `column`: file, column, reason, rows, first value."""
        rows = np.flatnonzero(bad)
        first = int(rows[0])
        listed = ", ".join(str(r + 1) for r in rows[:SHOWN]) + (", …" if len(rows) > SHOWN else "")
        rows_text = f"row {listed}" if len(rows) == 1 else f"{len(rows)} rows ({listed})"
        ids = self.data.get("question_id")
        owner = "" if ids is None or column == "question_id" else f" of question {ids[first].as_py()}"
        value = self.data[column][first].as_py()
        return UserError(f"{self.where(column)}: {why}: {rows_text}, first {value!r}{owner}")


def read_columns(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True, names: dict[str, str] | None = None
) -> Columns:
    """Read the columns of `path` for which `wanted(name)` holds. A folder is a Hugging Face data set.

    `names` says where a column that we know is found in the file: {"correct": "is_right"}; the others keep their names.

    Raises UserError where the file is missing, empty, damaged, without rows, or of an unknown kind.
    """
    path = _existing(path)
    own = {theirs: ours for ours, theirs in (names or {}).items()}
    read = {".parquet": _read_parquet, ".csv": _read_csv}.get(path.suffix, _read_json)
    columns = (_read_folder if path.is_dir() else read)(path, lambda name: wanted(own.get(name, name)))
    lacking = sorted(own.keys() - columns.data.keys())
    if lacking and len(columns):
        raise UserError(f"{path}: columns.{own[lacking[0]]}={lacking[0]}: no such column")
    taken = [ours for theirs, ours in own.items() if ours in columns.data and ours not in own]
    columns.data = {own.get(name, name): values for name, values in columns.data.items() if name not in taken}
    columns.names = dict(names or {})
    if len(columns) == 0:
        raise UserError(f"{path}: the table holds no rows")
    return columns


def read_rows(path: str | Path, columns: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows of a file as dicts, values as the file has them (text in CSV, nested values in JSON and Parquet).

    Of Parquet and CSV only `columns` are read where given; those that the file lacks are left out.
    Raises UserError where the file is missing, damaged, or of an unknown kind.
    """
    path = _existing(path)
    if path.suffix not in (".parquet", ".csv"):
        return list(_json_rows(path))
    read = _read_parquet if path.suffix == ".parquet" else _read_csv
    table = read(path, lambda name: not columns or name in columns)
    blank = "" if path.suffix == ".csv" else None  # an empty cell of a CSV file is an empty text
    listed = [[blank if v is None else v for v in array.to_pylist()] for array in table.data.values()]
    return [dict(zip(table.data, row, strict=True)) for row in zip(*listed, strict=True)]


def _existing(path: str | Path) -> Path:
    """A folder, or a file that is not empty and whose name ends in one of SUFFIXES."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_dir() and path.suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of table; allowed is a file ending in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    return path


def _read_parquet(path: Path, wanted: Callable[[str], bool]) -> Columns:
    table = _parquet_table(path, wanted)
    meta = (table.schema.metadata or {}).get(b"corea", b"{}")
    return Columns(
        path=str(path),
        data={name: _one_chunk(table.column(name)) for name in table.column_names},
        meta=json.loads(meta),
    )


def _parquet_table(path: Path, wanted: Callable[[str], bool]) -> pa.Table:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        return file.read(columns=[name for name in file.schema_arrow.names if wanted(name)])
    except (pa.ArrowException, OSError) as error:  # whatever is wrong inside a file from elsewhere
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable Parquet file (truncated or damaged): {reason}") from error


def _read_folder(path: Path, wanted: Callable[[str], bool]) -> Columns:
    """A Hugging Face data set folder (see folder_files). The library `datasets` is not needed.

    Where the files hold no column `split` and the folder several splits, the name of each becomes the column.
    """
    files = folder_files(path)
    if not files:
        raise UserError(
            f"{path}: is a folder without *.arrow or *-of-*.parquet; allowed is a file ending in "
            f"{', '.join(SUFFIXES)}, or a folder that Dataset.save_to_disk wrote or that was downloaded from the hub"
        )
    tables = []
    for file, split in files:
        table = _read_arrow(file, wanted) if file.suffix == ".arrow" else _parquet_table(file, wanted)
        if len({s for _, s in files}) > 1 and "split" not in table.column_names and wanted("split"):
            table = table.append_column("split", pa.array([split] * len(table), pa.string()))
        tables.append(table)
    try:
        whole = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise UserError(f"{path}: its files do not fit together: {str(error).splitlines()[0]}") from error
    return Columns(path=str(path), data={n: _one_chunk(whole.column(n)) for n in whole.column_names}, meta={})


def folder_files(path: Path) -> list[tuple[Path, str]]:
    """Data files of a folder with the split that each belongs to: what Dataset.save_to_disk wrote (*.arrow), what
    DatasetDict.save_to_disk wrote (SPLIT/*.arrow), or a copy of a hub repository (data/SPLIT-*-of-*.parquet)."""
    for files in (sorted(path.glob("*.arrow")), sorted(path.glob("*/*.arrow"))):
        if files:
            return [(file, file.parent.name) for file in files if not file.name.startswith("cache-")]
    shards = sorted(path.glob("*-of-*.parquet")) or sorted(path.glob("*/*-of-*.parquet"))
    return [(file, file.name.split("-")[0]) for file in shards]


def _read_arrow(file: Path, wanted: Callable[[str], bool]) -> pa.Table:
    try:
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
            table = stream.read_all()
    except (pa.ArrowException, OSError) as error:  # whatever is wrong inside a file from elsewhere
        raise UserError(f"{file}: not a readable Arrow stream: {str(error).splitlines()[0]}") from error
    return table.select([name for name in table.column_names if wanted(name)])


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return array.chunk(0) if isinstance(array, pa.ChunkedArray) and array.num_chunks == 1 else array


def _read_csv(path: Path, wanted: Callable[[str], bool]) -> Columns:
    import pyarrow.csv as pacsv

    with open(path, newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file), [])
    names = [name for name in header if wanted(name)]
    convert = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in header},
        include_columns=names,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    try:
        table = pacsv.read_csv(path, convert_options=convert, parse_options=pacsv.ParseOptions(newlines_in_values=True))
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a readable CSV file: {str(error).splitlines()[0]}") from error
    return Columns(path=str(path), data={name: _one_chunk(table.column(name)) for name in names}, meta={})


def _read_json(path: Path, wanted: Callable[[str], bool]) -> Columns:
    """Line by line: slower than Arrow's reader, but it knows the line of every mistake and guesses no dates."""
    values: dict[str, list[Any]] = {}
    for before, row in enumerate(_json_rows(path)):
        for name, value in row.items():
            if name not in values and wanted(name):
                values[name] = [None] * before
            if name in values:
                values[name].append(value)
        for column in values.values():
            if len(column) == before:
                column.append(None)
    columns = Columns(path=str(path), data={}, meta={})
    for name, column in values.items():
        columns.data[name] = _array(path, name, column)
    return columns


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file with one JSON object a line; a .json file may also be one list of objects."""
    if path.suffix == ".json":
        with open(path, "rb") as file:
            start = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        if start == b"[":
            for number, row in enumerate(_parse(path, "file", path.read_bytes()), start=1):
                yield _object(path, f"row {number}", row)
            return
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _object(path, f"line {number}", _parse(path, f"line {number}", line))


def _parse(path: Path, where: str, text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: {where} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: {where} is not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise UserError(f"{path}: {where} is not JSON: nested too deeply") from error


def _object(path: Path, where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{path}: {where} is not a JSON object")
    return row


def _array(path: Path, name: str, values: list[Any]) -> pa.Array:
    """Arrow array of a JSON column; numbers and booleans may mix, other mixtures become text."""
    if any(type(v) is bool for v in values) and any(type(v) in (int, float) for v in values):
        values = [int(v) if type(v) is bool else v for v in values]
    if any(type(v) is int for v in values) and any(type(v) is float for v in values):
        values = [float(v) if type(v) is int else v for v in values]
    try:
        return pa.array(values, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else v if isinstance(v, str) else json.dumps(v) for v in values])


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of the data files of a folder one after the other."""
    if Path(path).is_dir():
        parts = [file_hash(file) for file, _ in folder_files(Path(path))]
        return hashlib.sha256("".join(parts).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
