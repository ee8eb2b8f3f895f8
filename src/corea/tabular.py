"""The one reader of tables: Parquet, JSON Lines, JSON, CSV and Hugging Face folders, to columns or to rows.

A mistake is a UserError of one line that names file, row or line, and column. No code that comes with a file is run.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corea.errors import UserError
from corea.tabular_arrow import Wanted, folder_table, parquet_table
from corea.tabular_text import COMPRESSED, KINDS, csv_table, json_rows, read_bytes, refuse, utf8

ALLOWED = f"{', '.join(KINDS)}, with {' or '.join(COMPRESSED)} behind it or not"
SHOWN = 5
"""Rows that an error names before it only counts."""
LONGEST = 60
"""Characters of a value in a message."""


@dataclass(slots=True, kw_only=True)
class Columns:
    """The columns of one file, as read."""

    path: str
    """File that they were read from, for messages."""
    data: dict[str, pa.Array]
    """Column name -> Arrow array [N]."""
    rows: int
    """N."""
    found: list[str] = field(default_factory=list)
    """Names of all columns of the file."""
    meta: dict[str, Any] = field(default_factory=dict)
    """What the Parquet schema says under the key "corea"; empty for other files."""
    names: dict[str, str] = field(default_factory=dict)
    """Our name -> the file's, where they differ."""
    nested: dict[str, np.ndarray] = field(default_factory=dict)
    """Column of a JSON file -> [N] True where it holds a list or an object, which `data` has as JSON text."""

    def __len__(self) -> int:
        return self.rows

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
        owner = "" if ids is None or column == "question_id" else f" of question {_short(str(ids[first].as_py()))}"
        value = _short(repr(self.data[column][first].as_py()))
        name = self.names.get(column, column)
        return refuse(self.path, f"column {name}: {why}: {rows_text}, first {value}{owner}")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@dataclass(slots=True, kw_only=True)
class _Loaded:
    """The columns of a file that were asked for, before they are typed."""

    columns: dict[str, pa.ChunkedArray | list[Any]]
    """Arrow data, or the Python values of a JSON file."""
    rows: int
    found: list[str]
    meta: dict[str, Any] = field(default_factory=dict)


def table_kind(path: Path) -> str | None:
    """The one of KINDS that a file's name ends in, COMPRESSED left out; None for another kind of file."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    suffixes = suffixes[:-1] if suffixes and suffixes[-1] in COMPRESSED else suffixes
    plain = suffixes[-1] if suffixes else ""
    return plain if plain in KINDS else None


def table_stem(path: Path) -> str:
    """Name of a table's file without its endings: "train" of train.jsonl.gz."""
    name = path.name.removesuffix(path.suffix) if path.suffix.lower() in COMPRESSED else path.name
    return name[: len(name) - len(table_kind(path) or "")]


def read_columns(
    path: str | Path,
    wanted: Wanted = lambda name: True,
    names: dict[str, str] | None = None,
    key: str | None = "columns",
) -> Columns:
    """Read the columns of `path` for which `wanted(name)` holds. A folder is a Hugging Face data set.

    Args:
        wanted: of our names; a name outside `names` is the file's own.
        names: our name -> where the file has it: a column (its name may hold dots), or a part of a nested one by dots,
            e.g. {"text": "response.0.text"}.
        key: of the configuration that `names` comes from, for messages; None: what is not there is left out.

    Raises:
        UserError: the file is missing, empty, damaged, without rows or of an unknown kind, or lacks one of `names`.
    """
    path, names = _existing(path), names or {}
    sources = [theirs for ours, theirs in names.items() if wanted(ours)]
    loaded = _load(
        path,
        lambda name: (
            (name not in names and wanted(name)) or any(s == name or s.startswith(f"{name}.") for s in sources)
        ),
    )
    if loaded.rows == 0:
        columns = f"; its columns are {', '.join(loaded.found)}" if loaded.found else ""
        raise refuse(path, f"the table holds no rows{columns}")
    return _selected(path, loaded, wanted, names, key)


def columns_of(
    path: str | Path, rows: list[dict[str, Any]], names: dict[str, str] | None = None, key: str | None = "columns"
) -> Columns:
    """Columns of rows that were read already: all of them, or the keys of `names` where given, as in `read_columns`."""
    found = list(dict.fromkeys(name for row in rows for name in row))
    values: dict[str, pa.ChunkedArray | list[Any]] = {name: [row.get(name) for row in rows] for name in found}
    loaded = _Loaded(columns=values, rows=len(rows), found=found)
    return _selected(Path(path), loaded, lambda name: names is None or name in names, names or {}, key)


def _selected(path: Path, loaded: _Loaded, wanted: Wanted, names: dict[str, str], key: str | None) -> Columns:
    """The wanted columns under our names, each as one Arrow array."""
    columns = Columns(path=str(path), data={}, rows=loaded.rows, found=loaded.found, meta=loaded.meta, names=names)
    for name, values in loaded.columns.items():
        if name not in names and wanted(name):
            _add(columns, name, values)
    for ours, theirs in names.items():
        values = _resolve(loaded, theirs) if wanted(ours) else None
        if values is not None:
            _add(columns, ours, values)
        elif wanted(ours) and key is not None:
            raise refuse(path, f"{key}.{ours}={theirs}: no such column; the file has {', '.join(loaded.found)}")
    return columns


def read_rows(path: str | Path, columns: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows of a file as dicts, values as the file has them (text in CSV, nested values in JSON and Parquet).

    Of other files than JSON only `columns` are read where given; those that the file lacks are left out.
    Raises UserError where the file is missing, damaged, or of an unknown kind.
    """
    path = _existing(path)
    kind = table_kind(path)
    if not path.is_dir() and kind in (".jsonl", ".ndjson", ".json"):
        return list(json_rows(path, utf8(path, read_bytes(path)), lines=kind != ".json"))
    loaded = _load(path, lambda name: not columns or name in columns)
    blank = "" if kind in (".csv", ".tsv") else None  # an empty cell of a CSV file is an empty text
    columns_of = (v if isinstance(v, list) else v.to_pylist() for v in loaded.columns.values())
    listed = [[blank if v is None else v for v in values] for values in columns_of]
    return [dict(zip(loaded.columns, row, strict=True)) for row in zip(*listed, strict=True)]


def _existing(path: str | Path) -> Path:
    """A folder, or a file that is not empty and of a known kind."""
    path = Path(path)
    if not path.exists():
        raise refuse(path, "no such file")
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise refuse(
            path, "a pickle can run code when it is read; save it as a table: pandas.read_pickle(F).to_parquet(G)"
        )
    if not path.is_dir() and table_kind(path) is None:
        raise refuse(path, f"unknown kind of table; allowed is a file ending in {ALLOWED}")
    if path.stat().st_size == 0:
        raise refuse(path, "the file is empty")
    return path


def _load(path: Path, wanted: Wanted) -> _Loaded:
    kind = table_kind(path)
    if path.is_dir():
        table, found, meta = folder_table(path, wanted)
    elif kind == ".parquet":
        table, found, meta = parquet_table(path, wanted)
    else:
        data = utf8(path, read_bytes(path))
        if kind not in (".csv", ".tsv"):
            return _load_json(path, data, wanted)
        table, meta = csv_table(path, data, tabs=kind == ".tsv"), {}
        found = table.column_names
    columns = {name: table.column(name) for name in table.column_names if wanted(name)}
    return _Loaded(columns=columns, rows=len(table), found=found, meta=meta)


def _load_json(path: Path, data: bytes, wanted: Wanted) -> _Loaded:
    """Line by line: slower than Arrow's reader, but it knows the line of every mistake and guesses no dates."""
    values: dict[str, list[Any]] = {}
    found: dict[str, bool] = {}
    rows = 0
    for rows, row in enumerate(json_rows(path, data, lines=table_kind(path) != ".json"), start=1):
        for name, value in row.items():
            if name not in found:
                found[name] = wanted(name)
                if found[name]:
                    values[name] = [None] * (rows - 1)
            if found[name]:
                values[name].append(value)
        for column in values.values():
            if len(column) < rows:
                column.append(None)
    return _Loaded(columns=values, rows=rows, found=list(found))


def _resolve(loaded: _Loaded, name: str) -> pa.ChunkedArray | list[Any] | None:
    """The column `name`, or the part of a nested column that it names by dots; None where there is neither."""
    if name in loaded.columns:
        return loaded.columns[name]
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        outer = loaded.columns.get(".".join(parts[:cut]))
        if outer is not None:
            inner = [_part(v, parts[cut:]) for v in (outer if isinstance(outer, list) else outer.to_pylist())]
            return inner if any(v is not None for v in inner) else None
    return None


def _part(value: Any, path: list[str]) -> Any:
    """The value at ["0", "text"] of [{"text": ...}]; None where there is none."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _add(columns: Columns, name: str, values: pa.ChunkedArray | list[Any]) -> None:
    """Add a column as one Arrow array; of JSON values numbers and booleans may mix, other mixtures become text.

    NaN among texts is null: it is what tools write for a missing text.
    """
    if isinstance(values, list):
        nested = np.array([isinstance(v, list | dict) for v in values])
        if nested.any():
            columns.nested[name] = nested
        columns.data[name] = _array(values)
        return
    array = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    columns.data[name] = array.chunk(0) if isinstance(array, pa.ChunkedArray) and array.num_chunks == 1 else array


def _array(values: list[Any]) -> pa.Array:
    kinds = {type(v) for v in values}
    if bool in kinds and kinds & {int, float}:
        values = [int(v) if type(v) is bool else v for v in values]
    if {int, float} <= kinds:
        values = [float(v) if type(v) is int else v for v in values]
    if not kinds & {list, dict}:
        try:
            return pa.array(values, from_pandas=False)
        except (pa.ArrowException, OverflowError):
            pass
    return pa.array([None if v is None or v != v else v if isinstance(v, str) else json.dumps(v) for v in values])
