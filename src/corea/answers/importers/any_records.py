"""Any list of records: columns are found by their names and values; what was taken is said in one line.

Also wide records, with one group of columns per model: {"id": 1, "small_correct": true, "large_correct": false}, or
nested: {"id": 1, "models": {"small": {"correct": true}, "large": {"correct": false}}}.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

from corea.answers.importers import column_guesses as guesses
from corea.answers.importers.column_guesses import guess, plain
from corea.answers.importers.imported import Imported
from corea.answers.importers.record_parts import mean_probability, number, plain_text, verdict
from corea.answers.importers.record_search import Record, find_records, flat, is_chat, is_table
from corea.tabular import read_rows, table_kind, table_stem
from corea.tabular_text import read_bytes, utf8

_JUDGED = frozenset(map(plain, guesses.JUDGED))
METRICS = ("scores", "metrics", "metric", "grades", "evals")
"""Objects that hold several metrics of one model, not several models."""


def read_any(path: Path, pick: str | None = None) -> Imported:
    """The answers in the records of a file, with as many columns as can be found; question_id is always there.

    `pick` names the column that gives the verdict. Raises UserError where the file cannot be read.
    """
    records, tool = _records(path)
    records = _unnested(records)
    flats = [flat(record) for record in records]
    paths = list(dict.fromkeys(name for record in flats for name in record))
    parts = _wide(flats, paths) if pick is None else {}
    if not parts:
        return _found(path, tool, records, flats, paths, pick)
    found = []
    for model, inner in parts.items():
        names = list(dict.fromkeys(name for record in inner for name in record))
        found.append(_found(path, tool, records, inner, names, None))
        found[-1].rows = [{**row, "model": model} for row in found[-1].rows]
    taken = found[0].taken | {"model": "the groups of columns"}
    rows, raw = [r for f in found for r in f.rows], [r for f in found for r in f.raw]
    return Imported(tool=f"wide {tool}", rows=rows, raw=raw, taken=taken, positional=found[0].positional)


def _records(path: Path) -> tuple[list[Record], str]:
    """Records of a file, and what to call them."""
    if not path.is_dir() and table_kind(path) == ".json":
        try:
            document = json.loads(utf8(path, read_bytes(path)))
        except (ValueError, RecursionError):
            return read_rows(path), "records"  # JSON Lines, or the reader's message
        records, where = find_records(document)
        named = "W&B table" if is_table(document) else "records"
        return records, named + (f" of {where}" if where else "")
    rows = read_rows(path)
    empty = {None, ""}
    return [{k: None if isinstance(v, str) and v in empty else v for k, v in row.items()} for row in rows], "records"


def _unnested(records: list[Record]) -> list[Record]:
    """One record per answer, where each record holds a list of answers with verdicts: those of several samples, of
    several models, or of all questions."""
    names = list(dict.fromkeys(name for record in records for name, value in record.items() if isinstance(value, list)))
    if any(plain(name) in _JUDGED for record in records for name in record):
        return records
    for name in names:
        lists = [record.get(name) or [] for record in records]
        answers = [answer for answers in lists if isinstance(answers, list) for answer in answers]
        if name not in METRICS and answers and all(isinstance(a, dict) and _has_verdict(a) for a in answers):
            return [
                {**{k: v for k, v in record.items() if k != name}, **answer}
                for record, answers in zip(records, lists, strict=True)
                for answer in answers
            ]
    return records


def _has_verdict(answer: Record) -> bool:
    return bool(_JUDGED & {plain(path.rpartition(".")[2]) for path in flat(answer)})


def _wide(flats: list[Record], paths: list[str]) -> dict[str, list[Record]]:
    """Model -> its records with the columns that all share; empty where the records are not wide."""
    for name in guesses.VERDICT:
        if name not in guesses.JUDGED:
            continue
        own = [p for p in paths if p.casefold() == name]
        prefixes = [p[: -len(name)] for p in paths if len(p) > len(name) and p.casefold().endswith(name)]
        prefixes = [p for p in prefixes if p[-1] in "._|/-:" and not {*p.casefold().split(".")} & {*METRICS}]
        valid = [p for p in prefixes if guesses.are_verdicts([v for r in flats if (v := _get(r, p, name)) is not None])]
        if own or len(valid) < 2 or len({p.count(".") for p in valid}) > 1:
            continue
        tails = {p: p.rstrip("._|/-:").rpartition(".")[2] for p in valid}
        if all(plain(tail) in map(plain, ("is", "exact", "strict", "flexible")) for tail in tails.values()):
            continue
        shared = [path for path in paths if not path.startswith(tuple(valid))]
        return {
            tail: [
                {path: r.get(path) for path in shared}
                | {p[len(prefix) :]: v for p, v in r.items() if p.startswith(prefix)}
                for r in flats
            ]
            for prefix, tail in tails.items()
        }
    return {}


def _get(record: Record, prefix: str, name: str) -> Any:
    return next((v for p, v in record.items() if p.startswith(prefix) and p[len(prefix) :].casefold() == name), None)


def _found(
    path: Path, tool: str, records: list[Record], flats: list[Record], paths: list[str], pick: str | None
) -> Imported:
    taken = _columns(flats, paths, pick)
    models = _models(flats, paths)
    names = models or [table_stem(path) if path.is_file() else path.name] * len(flats)
    ids, where = _ids(flats, paths, names)
    rows = [_row(record, taken) for record in flats]
    for row, model, question_id in zip(rows, names, ids, strict=True):
        row["model"], row["question_id"] = model, question_id
    _number_samples(rows, flats, guess(flats, paths, guesses.SAMPLE, guesses.are_numbers))
    shown = {"question_id": where or "the row's number", **taken}
    if "logprob" in shown:
        shown["confidence"] = f"exp of {shown.pop('logprob')}"
    return Imported(tool=tool, rows=rows, raw=records, taken=shown, positional=where is None)


def _columns(flats: list[Record], paths: list[str], pick: str | None) -> dict[str, str]:
    """Column -> path. A column of true and false with an unknown name is the verdict where it is the only one."""
    taken: dict[str, str] = {}

    def take(column: str, names: tuple[str, ...], fits: Any) -> None:
        left = [p for p in paths if p not in taken.values()]
        if (path := guess(flats, left, names, fits)) is not None:
            taken[column] = path

    if pick is not None:
        taken["correct"] = pick
    else:
        take("correct", guesses.VERDICT, guesses.are_verdicts)
    if "correct" not in taken:
        taken |= _only_verdict(flats, paths)
    take("text", guesses.TEXT, guesses.are_written)
    take("confidence", guesses.CONFIDENCE, guesses.are_confidences)
    if "confidence" not in taken:
        take("logprob", guesses.LOGPROB, guesses.are_logprobs)
    take(
        "gold", guesses.GOLD if "text" in taken else tuple(n for n in guesses.GOLD if n != "answer"), guesses.are_texts
    )
    take("answer", guesses.ANSWER, guesses.are_texts)
    chat = taken.get("text")
    if chat is not None and all(is_chat(record.get(chat)) for record in flats):
        taken["question"] = chat
    else:
        take("question", guesses.QUESTION, guesses.are_texts)
    for column, names in guesses.NUMBERS.items():
        take(column, names, guesses.are_numbers)
    return taken


def _only_verdict(flats: list[Record], paths: list[str]) -> dict[str, str]:
    """The only column of true and false, else the only metric of 0 and 1, else the only one that is called so."""
    values = {p: [r[p] for r in flats if r.get(p) is not None] for p in paths}
    metrics = [p for p, v in values.items() if {*p.casefold().split(".")} & {*METRICS} and guesses.are_verdicts(v)]
    flags = [p for p, v in values.items() if len(v) == len(flats) and all(isinstance(x, bool) for x in v)]
    called = [p for p, v in values.items() if re.search("correct|accura|passed", plain(p)) and guesses.are_verdicts(v)]
    return next(({"correct": found[0]} for found in (flags, metrics, called) if len(found) == 1), {})


def _models(flats: list[Record], paths: list[str]) -> list[str] | None:
    """Model of each record; None where the records do not say, or name nearly as many as there are records."""
    path = guess(flats, paths, guesses.MODEL, guesses.are_ids)
    names = [str(record.get(path, "")) for record in flats] if path is not None else []
    return names if 2 * len({*names}) <= len(names) or (names and len(names) == 1) else None


def _ids(flats: list[Record], paths: list[str], models: list[str]) -> tuple[list[str], str | None]:
    """Id of each record and the path it is from: one that names each question once per model, if there is one."""
    left = list(paths)
    best: str | None = None
    while (path := guess(flats, left, guesses.ID, guesses.are_ids)) is not None:
        left.remove(path)
        values = [_id(record.get(path)) for record in flats]
        if None in values:
            continue
        each = Counter(values)
        if len({*each.values()}) == 1 and each[values[0]] == len(set(models)):
            return [str(v) for v in values], path
        best = path if best is None and len(each) < len(values) else best
    if best is not None:
        return [str(_id(record.get(best))) for record in flats], best
    counts: Counter[str] = Counter()
    numbers = []
    for model in models:
        numbers.append(str(counts[model]))
        counts[model] += 1
    return numbers, None


def _id(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None or isinstance(value, list | dict) else str(value)


def _number_samples(rows: list[Record], flats: list[Record], path: str | None) -> None:
    """Number the answers of one model to one question, as recorded or in their order."""
    keys = [(row["model"], row["question_id"]) for row in rows]
    if len(set(keys)) == len(keys):
        return
    given = [number(record.get(path)) if path is not None else None for record in flats]
    recorded = None not in given and len({*zip(keys, given, strict=True)}) == len(rows)
    seen: Counter[Any] = Counter()
    for row, key, value in zip(rows, keys, given, strict=True):
        row["sample"] = int(value or 0) if recorded else seen[key]
        seen[key] += 1


def _row(record: Record, taken: dict[str, str]) -> Record:
    def value(column: str) -> Any:
        return record.get(taken[column]) if column in taken else None

    row: Record = {column: plain_text(value(column)) for column in ("text", "answer", "gold") if column in taken}
    row |= {column: number(value(column)) for column in guesses.NUMBERS if column in taken}
    if "latency_s" in taken and plain(taken["latency_s"]).endswith("ms") and row["latency_s"] is not None:
        row["latency_s"] /= 1000
    if "question" in taken:
        row["question"] = guesses.question_text(value("question"))
    if "correct" in taken:
        row["correct"] = verdict(value("correct"))
    if "confidence" in taken:
        row["confidence"] = number(value("confidence"))
    if "logprob" in taken:
        given = value("logprob")
        row["confidence"] = mean_probability(given) if isinstance(given, list) else _probability(given)
    return row


def _probability(logprob: Any) -> float | None:
    found = number(logprob)
    return None if found is None or found > 0 else math.exp(found)
