"""Questions to answer: a table with a column of questions, or standard input with one question a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corea.config.roots import AnswerConfig
from corea.errors import UserError
from corea.tabular import read_rows
from corea.tasks.questions import text_hash
from corea.types import Question

STDIN = "-"


def read_questions(cfg: AnswerConfig, primary: str, lines: Iterable[str] | None = None) -> list[Question]:
    """The questions in their order. `lines` replaces standard input.

    Args:
        primary: dataset of questions that name none.

    Raises:
        UserError: the file cannot be read, lacks a column, or an id belongs to two questions.
    """
    if cfg.questions == STDIN:
        texts = [line.rstrip("\r\n") for line in (sys.stdin if lines is None else lines)]
        rows: list[dict[str, Any]] = [{cfg.question_column: text} for text in texts if text.strip()]
        where = "standard input"
    else:
        names = (cfg.question_column, cfg.id_column, cfg.gold_column, cfg.dataset_column)
        rows, where = read_rows(cfg.questions, names), cfg.questions
    if not rows:
        raise UserError(f"{where}: no questions")
    require_columns(cfg, rows, where)
    questions = [
        question_of_row(cfg, row, cfg.dataset or primary, f"{where}, row {n}") for n, row in enumerate(rows, 1)
    ]
    seen: dict[tuple[str, str], str] = {}
    for number, question in enumerate(questions, 1):
        if seen.setdefault((question.dataset, question.id), question.text) != question.text:
            raise UserError(f"{where}, row {number}: {cfg.id_column} {question.id} belongs to another question too")
    return questions


def require_columns(cfg: AnswerConfig, rows: Sequence[Mapping[str, Any]], where: str) -> None:
    """Columns of questions must exist; the others must if the user names them."""
    found = dict.fromkeys(name for row in rows for name in row)
    defaults = AnswerConfig(questions="", operating_point="")
    for key in ("question_column", "id_column", "gold_column", "dataset_column"):
        name = getattr(cfg, key)
        if name not in found and (key == "question_column" or name != getattr(defaults, key)):
            there = f"; it has {', '.join(map(str, found))}" if found else ""
            raise UserError(f"{key}={name}: {where} has no such column{there}")


def question_of_row(cfg: AnswerConfig, row: Mapping[str, Any], dataset: str, where: str) -> Question:
    """The question of a row. Raises UserError, which begins with `where`, for one without text."""
    text = _cell(row, cfg.question_column)
    if not text.strip():
        raise UserError(f"{where}: column {cfg.question_column} is empty")
    named = _cell(row, cfg.dataset_column).strip() if cfg.dataset is None else ""
    return Question(
        id=_cell(row, cfg.id_column).strip() or f"q-{text_hash(text)}",
        dataset=named or dataset,
        source=named or dataset,
        split="",
        text=text,
        gold=_cell(row, cfg.gold_column).strip(),
        grader=cfg.grader,
    )


def _cell(row: Mapping[str, Any], column: str) -> str:
    """Text of a cell, white space included: the same question must give the same prompt as when it was collected."""
    value = row.get(column)
    return "" if value is None or value != value else str(value)
