"""Detect which tool wrote a file, and read it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.answers.importers import (
    deepeval_run,
    evalplus_results,
    helm_run,
    inspect_log,
    lm_eval_samples,
    openai_batch,
    openai_evals,
    promptfoo_results,
    routellm_table,
    routerbench_table,
    verl_dump,
    vllm_bench,
)
from corea.answers.importers.imported import Imported, Importer, Source
from corea.errors import UserError
from corea.tabular import table_kind
from corea.tabular_text import COMPRESSED, csv_table, read_bytes, refuse, utf8

IMPORTERS: tuple[Importer, ...] = (
    lm_eval_samples,
    inspect_log,
    helm_run,
    openai_batch,
    promptfoo_results,
    deepeval_run,
    evalplus_results,
    openai_evals,
    verl_dump,
    vllm_bench,
    routerbench_table,
    routellm_table,
)
"""All formats; their marks exclude one another."""
HEAD = 1 << 18
"""Bytes of a file with one object per line that are read to detect its format, and more if a line is longer."""
LONGEST = 1 << 26
FIRST = 20
"""Records that are looked at."""
SHOWN = 3
"""Models that the log line names."""
MOST = 300
"""Characters of a log line."""


def importer_of(path: str | Path) -> tuple[Importer, Source] | None:
    """The importer that knows the file, and what it was detected by; None for an unknown or unreadable file."""
    source = _source(Path(path))
    if source is None:
        return None
    return next(((importer, source) for importer in IMPORTERS if importer.detect(source)), None)


def import_file(importer: Importer, source: Source, pick: str | None) -> Imported:
    """Read a file with its importer. Raises UserError; also for records of another structure than detected."""
    try:
        found = importer.read(source, pick)
    except UserError:
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:  # records from elsewhere
        what = f"begins like {importer.TOOL}, but holds a record of another structure"
        raise refuse(source.path, f"{what} ({type(error).__name__}: {error})") from error
    if not found.rows:
        raise refuse(source.path, f"{importer.TOOL} without answers")
    return found


def described(path: str | Path, found: Imported) -> str:
    """One line: file, format, number of answers, models, and where each column comes from."""
    names = found.models
    models = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} others" if len(names) > SHOWN else "")
    known = {name for row in found.rows for name, value in row.items() if value is not None}
    taken = [f"{column} from {where}" for column, where in found.taken.items() if column in known]
    line = f"{Path(path).name}: {found.tool}, {len(found.rows)} answers of {models}: {', '.join(taken)}"
    line = " ".join("; ".join([line, *found.notes]).split())
    return line if len(line) <= MOST else f"{line[: MOST - 1]}…"


def _source(path: Path) -> Source | None:
    if path.is_dir():
        return Source(path=path, kind="")
    if not path.is_file() or path.stat().st_size == 0:
        return None
    if path.suffix.lower() == ".eval":
        return Source(path=path, kind=".eval") if zipfile.is_zipfile(path) else None
    kind = table_kind(path)
    if kind in (".csv", ".tsv"):
        return _table_head(path, kind)
    if kind == ".json":
        try:
            document = json.loads(utf8(path, read_bytes(path)))
        except (ValueError, RecursionError):
            return Source(path=path, kind=".jsonl", rows=_first_rows(path))
        return Source(path=path, kind=kind, document=document)
    return Source(path=path, kind=kind, rows=_first_rows(path)) if kind in (".jsonl", ".ndjson") else None


def _first_rows(path: Path) -> list[dict[str, Any]]:
    """The first objects of a file with one per line; fewer where a line is none."""
    try:
        with pa.input_stream(str(path), compression=COMPRESSED.get(path.suffix.lower())) as stream:
            head = stream.read(HEAD)
            while b"\n" not in head and len(head) < LONGEST and (more := stream.read(HEAD)):
                head += more
            whole = len(head) < HEAD
    except (OSError, pa.ArrowException):  # the reader of tables says what is wrong
        return []
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows: list[dict[str, Any]] = []
    for line in [line for line in (lines if whole or len(lines) == 1 else lines[:-1]) if line.strip()][:FIRST]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(row, dict):
            break
        rows.append(row)
    return rows


def _table_head(path: Path, kind: str) -> Source | None:
    table = csv_table(path, utf8(path, read_bytes(path)), tabs=kind == ".tsv")
    rows = table.slice(0, FIRST).to_pylist()
    return Source(path=path, kind=kind, rows=rows, columns=table.column_names)
