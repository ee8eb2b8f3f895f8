"""Hints for a table with other column names: its columns, and the most likely one for each missing column."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

OTHER_NAMES = {
    "question_id": ("id", "qid", "idx", "index", "uid", "doc_id", "sample_id", "problem_id", "task_id", "question"),
    "tier": ("level", "stage", "model_index"),
    "correct": ("is_correct", "is_right", "right", "label", "score", "acc", "accuracy", "passed", "success", "grade"),
    "confidence": ("conf", "prob", "probability", "p", "p_true", "score", "certainty"),
    "text": ("response", "output", "completion", "generation", "prediction", "content", "message"),
    "answer": ("prediction", "pred", "final_answer", "extracted_answer", "parsed"),
    "gold": ("target", "reference", "ground_truth", "expected", "solution", "answer", "label"),
    "question": ("prompt", "input", "problem", "query"),
    "cost_usd": ("cost", "price", "usd", "dollars"),
}
"""Column -> names that other tools give to it, most likely first."""
SHOWN = 120
"""Maximum characters of the list of columns in a message."""


def nearest(column: str, found: Sequence[str]) -> str | None:
    """The name in `found` that most likely holds `column`; None if there is no similar name."""
    plain = {name.rpartition(".")[2].casefold(): name for name in reversed(found)}
    for other in (column, *OTHER_NAMES.get(column, ())):
        if other in plain:
            return plain[other]
    parts = [name for name in found if column in name.casefold() or name.casefold() in column.split("_")]
    close = difflib.get_close_matches(column, list(found), n=1, cutoff=0.7)
    return next(iter(close or parts), None)


def mapping_hint(lacking: Iterable[str], found: Sequence[str], key: str = "columns") -> str:
    """ "the file has a, b; perhaps columns.correct=a": the columns of a file, and overrides that may map the others."""
    if not found:
        return "the file has no columns"
    listed = ", ".join(map(str, found))
    listed = listed if len(listed) <= SHOWN else f"{listed[:SHOWN].rpartition(',')[0]}, …"
    guesses = [f"{key}.{column}={other}" for column in lacking if (other := nearest(column, found)) is not None]
    return f"the file has {listed}" + (f"; perhaps {' '.join(guesses)}" if guesses else f"; map one with {key}.NAME=…")


def no_confidence(path: str, key: str = "columns") -> str:
    """The message for a table whose small model never states a confidence."""
    wide = " (of a wide table: tiers.0.confidence)" if key == "columns" else ""
    return (
        f"{path}: no answer of the small model has a confidence; {key}.confidence=NAME{wide} says which column holds it"
    )
