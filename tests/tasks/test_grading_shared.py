"""Recorded cases of other systems, where their folder lies beside the project."""

import json
from pathlib import Path

import pytest

from corea.tasks.grading import grade_many
from corea.tasks.grading.final_answer import final_answer
from corea.types import Question

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cases"
ARGUED = {("math", "120", "5!")}
"""Cases that docs/data.md argues against: (grader, gold, answer)."""
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded cases beside the project")


def rows(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def verdicts(found: list[dict], answers: list[str | None]):
    questions = [
        Question(
            id=str(n),
            dataset="d",
            source="s",
            split="test",
            text="",
            gold=row["gold"],
            grader=row["grader"],
            meta={"options": row["options"]} if row.get("options") else {},
        )
        for n, row in enumerate(found)
    ]
    return grade_many(questions, answers)


def test_answers():
    found = rows("grading.jsonl")
    judged = verdicts(found, [row["answer"] for row in found])
    differ = {
        (row["grader"], row["gold"], row["answer"])
        for row, v in zip(found, judged, strict=True)
        if bool(v.correct) is not row["expected"]
    }
    assert differ == ARGUED


def test_texts():
    found = rows("extraction.jsonl")
    judged = verdicts(found, [final_answer(row["text"], row["grader"]) for row in found])
    assert [row["text"] for row, v in zip(found, judged, strict=True) if bool(v.correct) is not row["expected"]] == []
