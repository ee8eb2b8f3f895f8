"""The tables of engine=replay: recorded answers in our columns, in those that the user names, or of another tool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from corea.answers.importers.any_records import read_any
from corea.answers.importers.model_tables import ImportedFile, ModelTable, read_guessed, read_known
from corea.answers.typed_columns import texts
from corea.column_hints import mapping_hint
from corea.config.answer_columns import RECORDED_COLUMNS
from corea.config.engine_schema import ReplayEngineConfig
from corea.errors import UserError
from corea.tabular import Columns, columns_of, read_columns
from corea.tabular_text import refuse
from corea.types import Question

JUDGED = ("text", "answer", "correct")
"""A table of recorded answers needs at least one of these columns."""


def read_tiers(cfg: ReplayEngineConfig) -> list[ModelTable]:
    """One table per tier. Prints one line per file of another tool: what was taken from where."""
    files = {path: _read_file(path, cfg) for path in dict.fromkeys(cfg.tiers)}
    listed, used = Counter(cfg.tiers), Counter[str]()
    tiers: list[ModelTable] = []
    for number, path in enumerate(cfg.tiers):
        tables = files[path]
        named = {table.model: table for table in tables}
        if len(tables) == 1:
            tiers.append(tables[0])
        elif cfg.names and cfg.names[number] in named:
            tiers.append(named[cfg.names[number]])
        elif listed[path] == len(tables):
            tiers.append(tables[used[path]])
        elif listed[path] == 1 and not cfg.names and not cfg.prices:
            tiers += tables
        else:
            models = ", ".join(str(model) for model in named)
            raise refuse(path, f"holds {len(tables)} models: name the file once for each, or engine.names of {models}")
        used[path] += 1
    _check_mapping(cfg.columns, [table.columns for table in tiers])
    return tiers


def _read_file(path: str, cfg: ReplayEngineConfig) -> list[ModelTable]:
    renamed = {ours: theirs for ours, theirs in cfg.columns.items() if theirs != RECORDED_COLUMNS[ours]}
    known = read_known(path, cfg.pick, renamed, "engine.columns")
    if known is not None:
        return _shown(known)
    table = read_columns(path, lambda name: name in cfg.columns, cfg.columns, key=None)
    if "question_id" in table.data and table.data.keys() & {*JUDGED}:
        if cfg.pick is not None:
            raise refuse(path, f"engine.pick={cfg.pick}: only a file of another tool has several verdicts")
        return [ModelTable(columns=table)]
    guessed = read_guessed(path, cfg.pick, renamed, "engine.columns")
    if guessed is not None and all(t.columns.data.keys() & {*JUDGED} for t in guessed.tables):
        return _shown(guessed)
    raise _unknown(path, table, cfg.columns)


def _shown(file: ImportedFile) -> list[ModelTable]:
    print(file.line, flush=True)
    return file.tables


def _unknown(path: str, table: Columns, names: dict[str, str]) -> UserError:
    """The error for a table without ids or without answers: the shortest mapping that may work."""
    if "question_id" not in table.data:
        hint = mapping_hint(["question_id"], table.found, "engine.columns")
        return refuse(path, f"no column {names['question_id']}: set engine.columns.question_id; {hint}")
    hint = mapping_hint(JUDGED, table.found, "engine.columns")
    given = [f" (no {names[key]})" for key in JUDGED if names[key] != RECORDED_COLUMNS[key]]
    return refuse(path, f"no column for text, answer or correct{''.join(given)}: set engine.columns; {hint}")


def _check_mapping(names: dict[str, str], tables: list[Columns]) -> None:
    """Check that each column that the user names is in some table."""
    for key, name in names.items():
        if name != RECORDED_COLUMNS[key] and not any(key in table.data for table in tables):
            hint = mapping_hint([key], tables[0].found, "engine.columns")
            raise UserError(f"engine.columns.{key}={name}: no tier has this column; {hint}")


def join_by_position_or_text(table: ModelTable, questions: Sequence[Question], where: str) -> None:
    """Give the answers of a file of another tool the ids of the questions, in place, where the ids differ.

    Rows without ids belong to the questions in their order if there are as many; ids that differ are replaced where
    each answer's question text is that of exactly one question. Raises UserError if the reference answers show that
    the rows are about other questions.
    """
    if not table.tool:
        return
    ids = texts(table.columns, "question_id", required=True).to_pylist()
    distinct = list(dict.fromkeys(ids))
    if set(distinct) != {q.id for q in questions}:
        found = _by_position(table, distinct, questions) or _by_text(table, ids, questions)
        if found:
            how = "position" if table.positional and len(distinct) == len(questions) else "the question's text"
            print(f"{table.columns.path}: joined with {where} by {how}", flush=True)
            ids = [found[i] for i in ids]
            table.columns.data["question_id"] = pa.array(ids, pa.string())
    if table.positional and "gold" in table.columns.data:
        golds = {q.id: q.gold.strip() for q in questions}
        for i, gold in zip(ids, texts(table.columns, "gold").to_pylist(), strict=True):
            if gold and golds.get(i) and golds[i] != gold.strip():
                what = f"question {i}: reference answer {gold.strip()[:30]!r}, but {golds[i][:30]!r} in {where}"
                raise refuse(table.columns.path, f"{what}: the rows are in another order, or of other questions")


def _by_position(table: ModelTable, ids: list[str], questions: Sequence[Question]) -> dict[str, str]:
    """Id -> id of the question in the same place; empty where the file has ids of its own."""
    if not table.positional or len(ids) != len(questions):
        return {}
    return {i: question.id for i, question in zip(ids, questions, strict=True)}


def _by_text(table: ModelTable, ids: list[str], questions: Sequence[Question]) -> dict[str, str]:
    """Id -> id of the question with the same text; empty where texts are missing, differ or occur twice."""
    if "question" not in table.columns.data:
        return {}
    known = {" ".join(q.text.split()): q.id for q in questions if q.text}
    asked = dict(zip(ids, texts(table.columns, "question").to_pylist(), strict=True))
    found = {i: known.get(" ".join((text or "").split())) for i, text in asked.items()}
    if len(known) < len(questions) or None in found.values() or len({*found.values()}) < len(found):
        return {}
    return {i: str(q) for i, q in found.items()}


def guessed_questions(path: str) -> Columns | None:
    """The questions of a table with other column names; prints what was taken. None where it has no ids."""
    found = read_any(Path(path))
    if found.positional or not found.rows:
        return None
    golds = [row.get("gold") or row.get("answer") for row in found.rows]
    keys = ("question_id", "question")
    rows = [{**{k: row.get(k) for k in keys}, "gold": gold} for row, gold in zip(found.rows, golds, strict=True)]
    taken = {**found.taken, "gold": found.taken.get("gold") or found.taken.get("answer")}
    where = ", ".join(f"{key} from {taken[key]}" for key in (*keys, "gold") if taken.get(key))
    print(f"{Path(path).name}: questions, {where}", flush=True)
    return columns_of(path, rows)
