"""Recorded answers graded anew: the verdicts that our parser and graders give to the recorded texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from corea.errors import UserError
from corea.tasks.grading import grade_many, tag_contents

TEXTUAL = ("exact", "numeric", "choice", "math")
"""Graders that need nothing but the gold answer."""
LAST = 300
"""Characters at the end of an unmarked text that are searched for the answer."""


def regrader(grader: str) -> Callable[[pd.DataFrame, str], tuple[np.ndarray, np.ndarray]]:
    """The function that run_evaluation takes: frame, path -> (verdicts [rows], answers that were graded [rows])."""
    return lambda frame, path: regrade(frame, path, grader)


def regrade(frame: pd.DataFrame, path: str, grader: str) -> tuple[np.ndarray, np.ndarray]:
    """Grade every row of an answers table.

    Args:
        frame: with the columns gold and text or answer; path names it in messages.
        grader: one of TEXTUAL.

    Returns:
        verdicts [rows] 1.0, 0.0, or NaN where there is neither text nor answer; answers [rows] that were graded.
    """
    if "gold" not in frame or not {"text", "answer"} & set(frame):
        raise UserError(f"{path}: audit={grader}: needs the columns gold and text or answer; columns={{gold:...}} maps")
    lacking = frame["gold"].isna()
    if lacking.any():
        first = frame.loc[lacking, "question_id"].iloc[0]
        raise UserError(f"{path}: audit={grader}: {int(lacking.sum())} rows have no gold, first question {first}")
    blank = [None] * len(frame)
    texts = frame["text"].to_numpy(object, na_value=None) if "text" in frame else blank
    recorded = frame["answer"].to_numpy(object, na_value=None) if "answer" in frame else blank
    answers = np.full(len(frame), None, object)
    answers[:] = [final_answer(text, answer, grader) for text, answer in zip(texts, recorded, strict=True)]
    golds = frame["gold"].tolist()
    pairs = list(dict.fromkeys((g, a) for g, a in zip(golds, answers, strict=True) if a is not None))
    graded = grade_many([g for g, _ in pairs], [a for _, a in pairs], grader)
    found = {pair: float(bool(v.correct)) for pair, v in zip(pairs, graded, strict=True)}
    verdicts = [
        found[g, a] if a is not None else 0.0 if text else np.nan
        for g, a, text in zip(golds, answers, texts, strict=True)
    ]
    return np.array(verdicts, np.float64), answers


def final_answer(text: str | None, recorded: str | None, grader: str) -> str | None:
    """What a text answers: its last <answer> tag, else its last \\boxed{}, else the recorded answer, else its end."""
    if text:
        tagged = tag_contents(text, "answer")
        if tagged:
            return last_boxed(tagged[-1]) or tagged[-1]
        boxed = last_boxed(text)
        if boxed is not None:
            return boxed
    if recorded:
        return recorded
    if not text or not text.strip():
        return None
    return text.strip()[-LAST:] if grader == "numeric" else text.strip().splitlines()[-1][-LAST:]


def last_boxed(text: str) -> str | None:
    """Contents of the last \\boxed{...} whose braces are closed."""
    start = text.rfind("\\boxed{")
    while start >= 0:
        depth = 0
        for end in range(start + 6, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                return text[start + 7 : end].strip() or None
        start = text.rfind("\\boxed{", 0, start)
    return None
