"""The questions of corea.answer as units of work: Parquet files in the run folder, written once, in constant memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corea.cluster.unit_files import unit_file
from corea.config.roots import AnswerConfig
from corea.errors import UserError
from corea.runtime import atomic_write
from corea.serving.question_files import STDIN, question_of_row, require_columns
from corea.tabular import read_rows
from corea.tabular_text import json_rows, refuse
from corea.types import Question

FOLDER, LIST = "questions", "units.json"
BATCH = 4096
"""Rows of the file that are read together."""
FIELDS = ("id", "dataset", "text", "gold")


@dataclass(slots=True, kw_only=True)
class Units:
    """The questions of a run, in their order: unit u holds those from u * size on."""

    folder: Path
    size: int
    """Questions of a unit; the last one may hold fewer."""
    questions: int
    datasets: list[str]
    """Names of all datasets, in order of appearance."""
    graded: bool
    """Whether a question has a reference answer."""
    grader: str

    def __len__(self) -> int:
        return -(-self.questions // self.size)

    def read(self, unit: int) -> list[Question]:
        """The questions of a unit."""
        return [
            Question(**row, source=row["dataset"], split="", grader=self.grader)
            for row in pq.read_table(unit_file(self.folder, unit)).to_pylist()
        ]


def question_units(cfg: AnswerConfig, size: int, primary: str, run: Path) -> Units:
    """Write the questions of `cfg` into `run`, unless they are there.

    Raises:
        UserError: the file cannot be read or lacks a column; or the run folder holds units of another size.
    """
    folder = run / FOLDER
    origin = _origin(cfg, primary)
    try:
        known = json.loads((folder / LIST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if known is not None and known["size"] != size:
        raise UserError(f"engine.unit={size}: the results in {run} are in units of {known['size']}; give that number")
    if known is None or known["origin"] != origin:
        known = {**_write(cfg, size, primary, folder), "size": size, "origin": origin}
        with atomic_write(folder / LIST) as temporary:
            temporary.write_text(json.dumps(known) + "\n", encoding="utf-8")
    found = {name: known[name] for name in ("size", "questions", "datasets", "graded")}
    return Units(folder=folder, grader=cfg.grader, **found)


def _origin(cfg: AnswerConfig, primary: str) -> dict[str, Any]:
    """What the questions depend on."""
    columns = (cfg.question_column, cfg.id_column, cfg.gold_column, cfg.dataset_column)
    found: dict[str, Any] = {"columns": list(columns), "dataset": cfg.dataset or primary, "named": cfg.dataset is None}
    if cfg.questions != STDIN and Path(cfg.questions).exists():
        stat = Path(cfg.questions).stat()
        found |= {"path": str(Path(cfg.questions).absolute()), "bytes": stat.st_size, "changed": stat.st_mtime_ns}
    return found


def _write(cfg: AnswerConfig, size: int, primary: str, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    where = "standard input" if cfg.questions == STDIN else cfg.questions
    rows, count, graded = _rows(cfg), 0, False
    datasets: dict[str, None] = {}
    first = list(islice(rows, BATCH))
    if not first:
        raise UserError(f"{where}: no questions")
    require_columns(cfg, first, where)
    rows = chain(first, rows)
    while part := list(islice(rows, size)):
        unit = count // size
        questions = [
            question_of_row(cfg, row, cfg.dataset or primary, f"{where}, row {n}")
            for n, row in enumerate(part, count + 1)
        ]
        datasets |= dict.fromkeys(q.dataset for q in questions)
        graded |= any(q.gold for q in questions)
        table = pa.table({name: pa.array([getattr(q, name) for q in questions], pa.string()) for name in FIELDS})
        with atomic_write(unit_file(folder, unit)) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        count += len(part)
    return {"questions": count, "datasets": list(datasets), "graded": graded}


def _rows(cfg: AnswerConfig) -> Iterator[Mapping[str, Any]]:
    """Rows of the questions: Parquet and JSONL files are read in parts, others as a whole."""
    names = (cfg.question_column, cfg.id_column, cfg.gold_column, cfg.dataset_column)
    if cfg.questions == STDIN:
        texts = (line.rstrip("\r\n") for line in sys.stdin)
        return ({cfg.question_column: text} for text in texts if text.strip())
    path = Path(cfg.questions)
    if path.is_file() and path.suffix.lower() == ".parquet":
        return _parquet_rows(path, names)
    if path.is_file() and path.suffix.lower() in (".jsonl", ".ndjson"):
        return _json_lines(path)
    return iter(read_rows(path, names))


def _parquet_rows(path: Path, names: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    try:
        file = pq.ParquetFile(path)
        columns = [name for name in file.schema_arrow.names if name in names]
        for batch in file.iter_batches(BATCH, columns=columns):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise refuse(path, f"cannot be read ({str(error).splitlines()[0]})") from error


def _json_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield from json_rows(path, line, lines=True)
            except UserError as error:
                raise UserError(str(error).replace("line 1", f"line {number}", 1)) from error
