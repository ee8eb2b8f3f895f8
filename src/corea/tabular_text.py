"""Text files that hold a table: decompressed, decoded, and parsed as CSV or JSON (the text half of `corea.tabular`).

Every mistake is a UserError of one line, at most MOST characters long, with file, row or line, and column.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.errors import UserError
from corea.surrogates import without_surrogates

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
"""Ending behind the kind of a file -> Arrow's name of the codec."""
KINDS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""Endings of files that hold a table; COMPRESSED may stand behind each."""
ENDINGS = tuple(kind + packed for packed in ("", *COMPRESSED) for kind in KINDS)
DELIMITERS = ",;\t|"
MOST = 280
"""Characters of a message; with the name of the command in front of it a line has at most 300."""
HEAD = 1 << 20
"""Bytes of a CSV file in which its header must end."""


def refuse(path: Path | str, text: str) -> UserError:
    """The error for a file: one line that names it, cut to MOST characters."""
    line = " ".join(f"{path}: {text}".split())
    return UserError(line if len(line) <= MOST else f"{line[: MOST - 1]}…")


def read_bytes(path: Path) -> bytes:
    """The contents of a file, decompressed where its name says so."""
    try:
        with pa.input_stream(str(path), compression=COMPRESSED.get(path.suffix.lower())) as stream:
            return stream.read()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        what = "a readable compressed file" if path.suffix.lower() in COMPRESSED else "readable"
        raise refuse(path, f"not {what}: {reason}") from error


def utf8(path: Path, data: bytes) -> bytes:
    """Text as UTF-8 without a byte-order mark. UTF-16 with its mark is converted, anything else is refused."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        raise refuse(path, "not UTF-8 text (it begins as UTF-32 does); save the file as UTF-8")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError as error:
            raise refuse(path, f"not readable UTF-16 text ({error.reason}); save the file as UTF-8") from error
    if b"\0" in data[:HEAD]:
        raise refuse(path, "not UTF-8 text (it holds NUL bytes, as UTF-16 does); save the file as UTF-8")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        raise refuse(path, f"line {line} is not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8") from error
    return data.removeprefix(b"\xef\xbb\xbf")


def csv_table(path: Path, data: bytes, tabs: bool) -> pa.Table:
    """All columns of a CSV file as text; an empty cell is null.

    The delimiter is the one of DELIMITERS that divides the header into most columns; `tabs`: it is the tab if there is
    one in the header.
    """
    import pyarrow.csv as pacsv

    header, delimiter = _header(path, data, tabs)
    if not any(header) and not data.strip():
        return pa.table({})
    convert = pacsv.ConvertOptions(
        column_types={name: pa.string() for name in header},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    read = pacsv.ReadOptions(column_names=header, skip_rows_after_names=1, block_size=max(len(data) + 1, 1 << 20))
    parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    try:
        table = pacsv.read_csv(pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        row = _ragged_row(data, delimiter, len(header))
        why = str(error).splitlines()[0].removeprefix("CSV parse error: ")
        raise refuse(path, f"not a readable CSV file: {f'row {row}: ' if row else ''}{why}") from error
    return table


def _ragged_row(data: bytes, delimiter: str, width: int) -> int | None:
    """Number of the first row without `width` cells, the header not counted; None where there is none."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
    try:
        return next((number for number, row in enumerate(rows) if row and len(row) != width), None)
    except csv.Error:
        return None


def _header(path: Path, data: bytes, tabs: bool) -> tuple[list[str], str]:
    """Names of the columns, and the delimiter."""
    start = io.StringIO(data[:HEAD].decode(errors="ignore"), newline="")
    found: list[tuple[list[str], str]] = []
    for delimiter in DELIMITERS:
        start.seek(0)
        try:
            names = next(csv.reader(start, delimiter=delimiter), [])
        except csv.Error as error:
            raise refuse(path, f"not a readable CSV file: {error}") from error
        found.append(([name.strip() for name in names], delimiter))
    preferred = [item for item in found if tabs and item[1] == "\t" and len(item[0]) > 1] or found
    header, delimiter = max(preferred, key=lambda item: len(item[0]))  # the first of the longest
    no_duplicates(path, header)
    return header, delimiter


def no_duplicates(path: Path, names: list[str]) -> None:
    """Raises UserError where a column name stands twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        shown = ", ".join(name or "(empty)" for name in twice[:5])
        raise refuse(path, f"duplicate column names: {shown}")


def json_rows(path: Path, data: bytes, lines: bool) -> Iterator[dict[str, Any]]:
    """Rows of JSON text: one object per line, or (unless `lines`) a list of objects, also under a single key."""
    whole = None if lines else _whole(data)
    if isinstance(whole, list):
        for number, row in enumerate(_parse(path, "the file", data), start=1):
            yield _object(path, f"row {number}", row)
        return
    if isinstance(whole, dict):
        tables = [v for v in whole.values() if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)]
        yield from tables[0] if len(tables) == 1 else [_object(path, "row 1", _parse(path, "row 1", data))]
        return
    for number, line in enumerate(io.BytesIO(data), start=1):
        if line.strip():
            yield _object(path, f"line {number}", _parse(path, f"line {number}", line))


def _whole(data: bytes) -> Any:
    """The file as one JSON value; None where it is not one."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


class _TwiceError(Exception):
    """An object holds a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise _TwiceError(next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1))
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _parse(path: Path, where: str, text: bytes) -> Any:
    try:
        value = _DECODER.decode(text.decode())
    except json.JSONDecodeError as error:
        raise refuse(path, f"{where} is not JSON: {error.msg} at character {error.pos + 1}") from error
    except _TwiceError as error:
        raise refuse(path, f"{where} holds the key {str(error)!r} twice") from error
    except RecursionError as error:
        raise refuse(path, f"{where} is not JSON that can be read: nested too deeply") from error
    except ValueError as error:  # a whole number with more digits than Python reads
        raise refuse(path, f"{where} is not JSON that can be read: {str(error)[:80]}") from error
    return without_surrogates(value) if b"\\ud" in text or b"\\uD" in text else value


def _object(path: Path, where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise refuse(path, f"{where} is not a JSON object")
    return row
