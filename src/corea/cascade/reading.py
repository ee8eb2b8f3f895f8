"""Answers files (Parquet, JSONL, CSV) to typed columns, with errors that name file, rows and column.

N is the number of rows. Rows are counted from 1, without a CSV file's header; JSONL syntax errors name the line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corea.errors import UserError

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".csv")
TRUTH = {"true": 1, "false": 0, "1": 1, "0": 0, "1.0": 1, "0.0": 0}
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

    def __len__(self) -> int:
        return len(next(iter(self.data.values()))) if self.data else 0

    def fail(self, column: str, bad: np.ndarray, why: str) -> UserError:
        """The error for the rows where `bad` [N] holds in `column`: file, column, reason, rows, first value."""
        rows = np.flatnonzero(bad)
        first = int(rows[0])
        listed = ", ".join(str(r + 1) for r in rows[:SHOWN]) + (", …" if len(rows) > SHOWN else "")
        rows_text = f"row {listed}" if len(rows) == 1 else f"{len(rows)} rows ({listed})"
        ids = self.data.get("question_id")
        owner = "" if ids is None or column == "question_id" else f" of question {ids[first].as_py()}"
        value = self.data[column][first].as_py()
        return UserError(f"{self.path}: column {column}: {why}: {rows_text}, first {value!r}{owner}")


def read_columns(
    path: str | Path, wanted: Callable[[str], bool] = lambda name: True, names: dict[str, str] | None = None
) -> Columns:
    """Read the columns of `path` for which `wanted(name)` holds. A folder is a Hugging Face data set.

    `names` says where a column that we know is found in the file: {"correct": "is_right"}; the others keep their names.

    Raises UserError where the file is missing, empty, damaged, without rows, or of an unknown kind.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_dir() and path.suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of table; allowed is a file ending in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty")
    own = {theirs: ours for ours, theirs in (names or {}).items()}
    read = {".parquet": _read_parquet, ".csv": _read_csv}.get(path.suffix, _read_jsonl)
    columns = (_read_folder if path.is_dir() else read)(path, lambda name: wanted(own.get(name, name)))
    lacking = sorted(own.keys() - columns.data.keys())
    if lacking and len(columns):
        raise UserError(f"{path}: columns.{own[lacking[0]]}={lacking[0]}: no such column")
    taken = [ours for theirs, ours in own.items() if ours in columns.data and ours not in own]
    columns.data = {own.get(name, name): values for name, values in columns.data.items() if name not in taken}
    if len(columns) == 0:
        raise UserError(f"{path}: the table holds no rows")
    return columns


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


def _read_jsonl(path: Path, wanted: Callable[[str], bool]) -> Columns:
    """Line by line: slower than Arrow's reader, but it knows the line of every mistake and guesses no dates."""
    values: dict[str, list[Any]] = {}
    rows = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            row = _parse_line(path, number, line)
            for name, value in row.items():
                if name not in values and wanted(name):
                    values[name] = [None] * rows
                if name in values:
                    values[name].append(value)
            rows += 1
            for column in values.values():
                if len(column) < rows:
                    column.append(None)
    columns = Columns(path=str(path), data={}, meta={})
    for name, column in values.items():
        columns.data[name] = _array(path, name, column)
    return columns


def _parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line {number} is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {number} is not JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}: line {number} is not a JSON object")
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


def floats(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N]; null becomes NaN. A NaN that is not null, or text that is no number, is an error."""
    array = _plain(columns.data[name])
    null = np.asarray(array.is_null())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        values = _from_text(columns, name, array)
    elif pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    elif pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_decimal(array.type):
        values = _widened(array)
    else:
        raise UserError(f"{columns.path}: column {name}: holds {array.type}; allowed are numbers")
    nan = np.isnan(values) & ~null
    if nan.any():
        raise columns.fail(name, nan, "NaN is not a number; a missing value is null")
    return values


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _widened(array: pa.Array) -> np.ndarray:
    """Numbers as float64. Short floats go through their shortest decimal form, so that a float32 0.7 is 0.7."""
    if pa.types.is_float32(array.type) or pa.types.is_float16(array.type):
        short = array.to_numpy(zero_copy_only=False)
        distinct, inverse = np.unique(short, return_inverse=True)
        return np.array([float(str(v)) for v in distinct])[inverse]
    return pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _from_text(columns: Columns, name: str, array: pa.Array) -> np.ndarray:
    def number(text: str | None) -> float | None:
        if text is None:
            return np.nan
        try:
            return float(text)
        except ValueError:
            return None

    parsed = [number(v) for v in array.to_pylist()]
    bad = np.array([v is None for v in parsed])
    if bad.any():
        raise columns.fail(name, bad, "not a number")
    return np.array(parsed, dtype=np.float64)


def integers(columns: Columns, name: str, low: int = 0, missing: int | None = None) -> np.ndarray:
    """Column as int64 [N], each >= `low`; fractions and text are errors, and so is null unless it means `missing`."""
    values = floats(columns, name)
    if missing is not None:
        values = np.where(np.isnan(values), missing, values)
    bad = np.isnan(values) | (values < low) | (values != np.floor(values))
    if bad.any():
        raise columns.fail(name, bad, f"allowed is a whole number >= {low}")
    return values.astype(np.int64)


def verdicts(columns: Columns, name: str) -> np.ndarray:
    """Column as float64 [N]: 1 right, 0 wrong, NaN not graded (null). Booleans, 0/1 and true/false are allowed."""
    array = _plain(columns.data[name])
    null = np.asarray(array.is_null())
    if pa.types.is_boolean(array.type):
        values = pc.cast(array, pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        values = np.array([TRUTH.get((v or "").strip().lower(), np.nan) for v in array.to_pylist()], dtype=np.float64)
    else:
        values = floats(columns, name)
    bad = ~null & (values != 0) & (values != 1)
    if bad.any():
        raise columns.fail(name, bad, "allowed is true, false, 1, 0 or null")
    return values


def texts(columns: Columns, name: str, required: bool = False) -> pa.Array:
    """Column as Arrow strings [N]; numbers are written out. Null is an error where `required`."""
    array = _plain(columns.data[name])
    if pa.types.is_floating(array.type):
        values = array.to_pylist()
        values = [None if v is None or v != v else v for v in values]
        array = pa.array([None if v is None else str(int(v)) if v % 1 == 0 else str(v) for v in values], pa.string())
    elif not pa.types.is_string(array.type):
        array = array.cast(pa.string())
    null = np.asarray(array.is_null())
    if required and null.any():
        raise columns.fail(name, null, "a value is required")
    return array


def one_of(columns: Columns, name: str, allowed: Iterable[str]) -> pa.Array:
    """Column as Arrow strings [N], each null or one of `allowed`."""
    array = texts(columns, name)
    allowed = list(allowed)
    bad = ~np.asarray(pc.is_in(array, pa.array(allowed))) & np.asarray(array.is_valid())
    if bad.any():
        raise columns.fail(name, bad, f"allowed is {', '.join(allowed)}")
    return array
