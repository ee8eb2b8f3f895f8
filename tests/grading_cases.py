"""Rows of the grading tests: one gold, what counts for it and what does not."""

from dataclasses import dataclass

import pytest

from corea.tasks.grading import grade_many
from corea.types import Question


@dataclass
class Case:
    """One gold answer with right and wrong answers."""

    gold: str
    right: list[str] | str
    """Answers that count; as a text they are divided by "|"."""
    wrong: list[str] | str
    grader: str = "math"
    text: str = ""
    options: dict[str, str] | None = None

    def __post_init__(self) -> None:
        self.right, self.wrong = (a.split("|") if isinstance(a, str) else a for a in (self.right, self.wrong))

    def question(self) -> Question:
        meta = {"options": self.options} if self.options else {}
        return Question(
            id="q", dataset="d", source="s", split="test", text=self.text, gold=self.gold, grader=self.grader, meta=meta
        )


def grouped(**groups: list[Case]) -> list:
    """All cases as parameters of one test; the id of a case begins with the name of its group."""
    return [
        pytest.param(case, id=" ".join(filter(None, (group, case.gold, case.text))))
        for group, cases in groups.items()
        for case in cases
    ]


def check(case: Case) -> None:
    """Every answer gets its verdict, and every one that is not correct a note."""
    answers = case.right + case.wrong
    verdicts = grade_many([case.question()] * len(answers), answers)
    judged = dict(zip(answers, verdicts, strict=True))
    assert [a for a in case.right if not judged[a].correct] == []
    assert [a for a in case.wrong if judged[a].correct is not False] == []
    assert [a for a in case.wrong if not judged[a].note or "\n" in judged[a].note or len(judged[a].note) > 200] == []
