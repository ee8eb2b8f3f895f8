"""Rows of a data set -> questions, by a mapping of columns.

One raw row (GSM8K) with columns={question: question, gold: answer}:
    {"question": "Janet's ducks lay 16 eggs per day. ...", "answer": "Janet sells 16 - 3 - 4 = ... \\n#### 18"}
becomes Question(text="Janet's ducks ...", gold="18").
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from collections.abc import Iterable, Sequence
from typing import Any

from corea.column_hints import mapping_hint
from corea.config.data_schema import SourceConfig
from corea.errors import UserError
from corea.tasks.question_text import normalise
from corea.types import Question

MAPPED = ("question", "gold", "question_id", "options", "solution")
"""Keys of `columns` with a meaning; any other key goes into the question's meta."""
DEFAULTS = {"question": "question", "gold": "answer"}
COLUMNS_KEY = "data.families.FAMILY.sources.N.columns"
"""Where the configuration maps columns, for messages."""
_MISSING = object()
_NOTE = re.compile(r"<<[^<>]*>>")


def lookup(row: dict[str, Any], column: str) -> Any:
    """The value of "a", of "a.b" (nested), or of the first existing alternative in "a|b"; `_MISSING` if there is
    none."""
    for alternative in column.split("|"):
        if alternative in row:
            return row[alternative]
        value: Any = row
        for part in alternative.split("."):
            value = value.get(part, _MISSING) if isinstance(value, dict) else _MISSING
        if value is not _MISSING:
            return value
    return _MISSING


def top_columns(source: SourceConfig) -> list[str]:
    """Names of the top-level columns that a source reads."""
    named = [*DEFAULTS.values()] if not source.columns else []
    named += [*source.columns.values(), *source.option_columns, *source.where, *source.between]
    named += [d for k, d in DEFAULTS.items() if k not in source.columns]
    names = [name for column in named for a in column.split("|") for name in (a, a.split(".")[0])]
    return list(dict.fromkeys(names))


def to_questions(source: SourceConfig, rows: Iterable[dict[str, Any]], *, dataset: str, where: str) -> list[Question]:
    """Questions of the rows that pass the source's filters.

    Args:
        where: file or hub data set, for messages.

    Raises:
        UserError: a column is missing, a question or gold answer is empty, or two questions share an id.
    """
    questions: list[Question] = []
    seen: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if not _passes(source, row, where):
            continue
        question = _question(source, row, dataset, f"{where}, row {number}")
        if seen.setdefault(question.id, normalise(question.text)) != normalise(question.text):
            raise UserError(f"{where}, row {number}: question id {question.id} also belongs to another question")
        questions.append(question)
    if not questions:
        raise UserError(f"{where}: no questions" + (" that pass where and between" if source.where else ""))
    return questions


def _passes(source: SourceConfig, row: dict[str, Any], where: str) -> bool:
    for column, allowed in source.where.items():
        if _cell(row, column, f"{where}: data source {source.name}.where") not in (
            allowed if isinstance(allowed, list) else [allowed]
        ):
            return False
    for column, (low, high) in source.between.items():
        value = _cell(row, column, f"{where}: data source {source.name}.between")
        try:
            inside = low <= float(value) <= high
        except (TypeError, ValueError) as error:
            what = f"column {column} holds {str(value)[:40]!r}, which is not a number"
            raise UserError(f"{where}: data source {source.name}.between: {what}") from error
        if not inside:
            return False
    return True


def _cell(row: dict[str, Any], column: str, where: str, key: str = "") -> Any:
    """The value of `column`, which holds `key` of our columns."""
    value = lookup(row, column)
    if value is _MISSING:
        raise UserError(f"{where}: no column {column}; {mapping_hint([key] if key else [], list(row), COLUMNS_KEY)}")
    return value


def _question(source: SourceConfig, row: dict[str, Any], dataset: str, where: str) -> Question:
    columns = {**DEFAULTS, **source.columns}
    text = _text(row, columns["question"], where, "question")
    options, gold = _options(source, row, columns, text, where)
    meta = {key: lookup(row, column) for key, column in source.columns.items() if key not in MAPPED}
    if "solution" in columns:
        meta["solution"] = _solution(_text(row, columns["solution"], where))
    if options:
        meta["options"] = options
    identifier = lookup(row, columns["question_id"]) if "question_id" in columns else None
    identifier = None if identifier is _MISSING else _plain(identifier, columns.get("question_id", ""), where)
    return Question(
        id=f"{source.name}-{text_hash(text)}" if identifier is None else str(identifier),
        dataset=dataset,
        source=source.name,
        split="",
        text="\n".join([text, *(f"{letter}. {option}" for letter, option in options.items())]),
        gold=gold,
        grader=source.grader or ("choice" if options else "math"),
        meta={key: value for key, value in meta.items() if value is not _MISSING},
    )


def _solution(text: str) -> str:
    """Remove GSM8K's calculator annotations and final line: "2 * 3 = <<2*3=6>>6 eggs\n#### 6" is "2 * 3 = 6 eggs"."""
    return _NOTE.sub("", text.rpartition("\n####")[0] or text).strip()


def text_hash(text: str) -> str:
    """First 12 hex digits of the SHA-256 of the normalised text."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:12]


def _text(row: dict[str, Any], column: str, where: str, key: str = "") -> str:
    """The text of a cell. Only a gold answer may be a list, of plain values: all of them are the answer."""
    value = _cell(row, column, where, key)
    if key == "gold" and isinstance(value, list | tuple) and not any(isinstance(v, dict | list) for v in value):
        value = ", ".join(map(str, value))
    value = _plain(value, column, where)
    text = "" if value is None or value != value else str(value).strip()  # tools write a missing text as NaN
    if not text:
        raise UserError(f"{where}: column {column} is empty")
    return text


def _plain(value: Any, column: str, where: str) -> Any:
    """The value, unless it is a list or an object."""
    if isinstance(value, dict | list | tuple):
        part = f"; a part of it is named like {column}.{next(iter(value))}" if isinstance(value, dict) and value else ""
        raise UserError(f"{where}: column {column} holds {'an object' if isinstance(value, dict) else 'a list'}{part}")
    return value


def _options(
    source: SourceConfig, row: dict[str, Any], columns: dict[str, str], text: str, where: str
) -> tuple[dict[str, str], str]:
    """({letter: option}, gold answer); the mapping is empty without options."""
    if source.option_columns:
        choices = [_text(row, column, where) for column in source.option_columns]
        right = choices[0]
        random.Random(text_hash(text)).shuffle(choices)
        return dict(zip(string.ascii_uppercase, choices, strict=False)), string.ascii_uppercase[choices.index(right)]
    gold = _text(row, columns["gold"], where, "gold").rpartition("####")[2].strip()
    if "options" not in columns:
        return {}, gold
    return _labelled(_cell(row, columns["options"], where), where), gold


def _labelled(value: Any, where: str) -> dict[str, str]:
    """Options as {letter: text} from a list of texts, of {label, text}, or {label: [...], text: [...]}."""
    if isinstance(value, dict) and {"label", "text"} <= value.keys():
        labels, texts = value["label"], value["text"]
        if not isinstance(labels, Sequence) or not isinstance(texts, Sequence) or len(labels) != len(texts):
            raise UserError(f"{where}: options: label and text are not two lists of the same length")
        return {str(k): str(v) for k, v in zip(labels, texts, strict=True)}
    if isinstance(value, dict):
        return {str(k): str(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        if all(isinstance(v, dict) and {"label", "text"} <= v.keys() for v in value):
            return {str(v["label"]): str(v["text"]) for v in value}
        return dict(zip(string.ascii_uppercase, map(str, value), strict=False))
    raise UserError(f"{where}: options are {type(value).__name__}; allowed is a list, or a mapping of letters to texts")
