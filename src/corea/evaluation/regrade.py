"""Grade recorded answers again: the verdicts of our own parser and graders on the recorded texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from corea.errors import UserError
from corea.tasks.grading import final_answer, grade_many
from corea.types import Outcome

TEXTUAL = ("exact", "numeric", "choice", "math")
"""Graders that need nothing but the gold answer."""
JUDGED = (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED)
"""Outcomes that are a verdict on the answer."""
MARKS = ("</answer>", "boxed")
"""Marks of an answer in a text that count more than the answer that another tool has recorded."""


@dataclass(slots=True, kw_only=True)
class Regraded:
    """Our verdicts on the R rows of an answers table."""

    verdicts: np.ndarray
    """[R] 1.0 correct, 0.0 not; NaN where there is nothing to grade, or the grader gave no verdict (see outcomes)."""
    answers: np.ndarray
    """[R] answer that was graded, or None."""
    outcomes: np.ndarray
    """[R] str, see corea.types.Outcome; "" where there is nothing to grade."""
    notes: np.ndarray
    """[R] str, the reason in one line where the outcome does not say it."""


def regrader(grader: str) -> Callable[[pd.DataFrame, str], Regraded]:
    """The function that run_evaluation takes: frame, path -> Regraded."""
    return lambda frame, path: regrade(frame, path, grader)


def regrade(frame: pd.DataFrame, path: str, grader: str) -> Regraded:
    """Grade every row of an answers table.

    Args:
        frame: with the columns gold and text or answer; path names it in messages.
        grader: one of TEXTUAL.

    Raises:
        UserError: a column or a gold is missing.
    """
    if "gold" not in frame or not {"text", "answer"} & set(frame):
        raise UserError(f"{path}: audit={grader}: needs the columns gold and text or answer; columns={{gold:...}} maps")
    lacking = frame["gold"].isna()
    if lacking.any():
        first = frame.loc[lacking, "question_id"].iloc[0]
        raise UserError(f"{path}: audit={grader}: {int(lacking.sum())} rows have no gold, first question {first}")
    texts, recorded = (_listed(frame, name) for name in ("text", "answer"))
    given = [graded_answer(text, answer, grader) for text, answer in zip(texts, recorded, strict=True)]
    golds = frame["gold"].tolist()
    pairs = list(dict.fromkeys((g, a) for g, a, t in zip(golds, given, texts, strict=True) if a is not None or t))
    graded = grade_many([g for g, _ in pairs], [a for _, a in pairs], grader, shown="grading")
    found = dict(zip(pairs, graded, strict=True))
    rows = [found[g, a] if a is not None or t else None for g, a, t in zip(golds, given, texts, strict=True)]
    answers = np.full(len(frame), None, object)
    answers[:] = given
    return Regraded(
        verdicts=np.array([float(bool(v.correct)) if v is not None and v.outcome in JUDGED else np.nan for v in rows]),
        answers=answers,
        outcomes=np.array(["" if v is None else v.outcome.value for v in rows], object),
        notes=np.array(["" if v is None else v.note for v in rows], object),
    )


def _listed(frame: pd.DataFrame, name: str) -> list[str | None]:
    return frame[name].to_numpy(object, na_value=None).tolist() if name in frame else [None] * len(frame)


def graded_answer(text: str | None, recorded: str | None, grader: str) -> str | None:
    """The answer to grade: that of a text with one of MARKS, else the recorded one, else that of the text."""
    if recorded and not (text and any(mark in text for mark in MARKS)):
        return recorded
    return (final_answer(text, grader) if text else None) or recorded or None
