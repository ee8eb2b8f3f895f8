"""ReplayEngine: recorded answers instead of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corea.errors import UserError
from corea.tabular import read_rows
from corea.types import Completion, Progress, Prompts, Sampling

NUMBERS = ("tier", "sample", "prompt_tokens", "cached_tokens", "completion_tokens", "latency_s")
"""Numeric columns of a recorded answer."""


class ReplayEngine:
    """Engine on recorded completions (see corea.types.Engine).

    A completion may carry its recorded verdict: `extra["recorded"]` is a dict with any of answer, correct, confidence,
    cost_usd. If tokens were not recorded, `extra["tokens"]` is "unknown".
    """

    def __init__(self, completions: Mapping[str, Sequence[Completion]], *, model_name: str, texts: Mapping[str, str]):
        """
        Args:
            completions: question id -> its samples in order.
            texts: question text -> question id, for callers that know only the text.
        """
        self.completions = completions
        self.texts = texts
        self.model_name = model_name

    def close(self) -> None:
        """Nothing to release."""

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """The recorded completions of each prompt, found by the text of its last message."""
        answers = [self.recorded(self.texts.get(p[-1]["content"]), sampling.n) for p in prompts]
        if progress is not None:
            progress(len(answers))
        return answers

    def recorded(self, question_id: str | None, n: int) -> list[Completion]:
        """The first `n` completions of a question; finish_reason is "error" for those that were not recorded."""
        found = list(self.completions.get(question_id or "", ()))[:n]
        return found + [self._absent() for _ in range(n - len(found))]

    def _absent(self) -> Completion:
        return Completion(
            text="",
            finish_reason="error",
            prompt_tokens=0,
            completion_tokens=0,
            model=self.model_name,
            error="not recorded",
        )


class RecordedFile(ReplayEngine):
    """The answers of one tier from a table, found by the question's text.

    The table is an answers table of `corea.collect`, or any JSONL or Parquet file with columns `question` and `text`
    and, if known, the other columns of an answers table.
    """

    def __init__(self, model: str, *, tier: int | None = None, **_: Any):
        """Read the file `model`; revision, dtype and template are ignored.

        Raises:
            UserError: the file is missing or lacks a column, or has no such tier.
        """
        rows = _read_rows(Path(model))
        tiers = {r["tier"] for r in rows if r.get("tier") is not None}
        selected = tier if tier is not None else max(tiers, default=None)
        if tier is not None and tier not in tiers:
            raise UserError(f"llm.engine.tier={tier}: {model} has the tiers {', '.join(map(str, sorted(tiers)))}")
        chosen = [r for r in rows if not tiers or r.get("tier") == selected]
        chosen.sort(key=lambda r: r.get("sample") or 0)
        completions: dict[str, list[Completion]] = {}
        for r in chosen:
            completions.setdefault(str(r["question"]), []).append(_recorded(r))
        super().__init__(completions, model_name=model, texts={text: text for text in completions})


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise UserError(f"llm.model={path}: no such file; llm=replay needs a JSONL or Parquet file of answers")
    rows = read_rows(path)
    for number, row in enumerate(rows, 1):
        if row.get("question") is None or "text" not in row:
            raise UserError(f"llm.model={path}, row {number}: columns question and text are required")
        for column in ("question", "text", "finish_reason"):
            if not isinstance(row.get(column), str | None):
                raise UserError(f"llm.model={path}, row {number}: column {column} must hold text")
        for column in NUMBERS:
            row[column] = _number(row.get(column), f"llm.model={path}, row {number}: column {column}")
    return rows


def _number(value: Any, where: str) -> float | None:
    try:
        number = None if value in (None, "") or value != value else float(value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {str(value)[:40]!r} is not a number") from error
    if number is not None and not 0 <= number < math.inf:
        raise UserError(f"{where}: {number:g} is not a finite number >= 0")
    return int(number) if number is not None and number.is_integer() else number


def _recorded(row: dict[str, Any]) -> Completion:
    counted = row.get("completion_tokens") is not None
    return Completion(
        text=row["text"] or "",
        finish_reason=row.get("finish_reason") or "stop",
        prompt_tokens=int(row.get("prompt_tokens") or 0),
        cached_tokens=int(row.get("cached_tokens") or 0),
        completion_tokens=int(row.get("completion_tokens") or 0),
        latency_s=float(row.get("latency_s") or 0.0),
        model=str(row.get("model") or ""),
        error=str(row.get("error") or ""),
        extra={} if counted else {"tokens": "unknown"},
    )
