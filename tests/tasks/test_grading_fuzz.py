"""Whatever a model may write ends as an outcome with a note: no exception, no process left over, no memory that grows."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corea.tasks.grading import close_pool, grade_many, set_limits
from corea.tasks.grading.pool import Limits, shared_pool
from corea.types import Outcome, Question

PIECES = [
    *"0123456789+-*/^_=()[]{}|<>!,.;:$%&#@~'\"\\ abcdxyzABCDEπ√°∪−½٣𝟜²±×",
    *("\\frac", "\\sqrt", "\\pi", "\\text{", "\\boxed{", "\\left(", "\\right)", "\\begin{pmatrix}", "\\end{pmatrix}"),
    *("\\sum_{", "\\int", "\\infty", "^{", "_{", "**", "\\\\", "\x00", "\ud800", "\\pm", "\\cup", "\\ne", "\\le", "\\log_"),
    *("import os", "__class__", "lambda x:", "factorial(", "True", "None", "nan", "1e999", "10^{9}", "sqrt(", "inf", "9^{9^{9"),
    *("the answer is ", "dollars", "<answer>", "</answer>", "\n", "\t", "\r", " or ", " and ", " thousand", " is wrong", "####"),
]  # fmt: skip
OPTIONS = {"A": "library", "B": "a bank", "C": "3.5", "D": "\\frac{1}{2}"}
GOLDS = [
    "\\frac{14}{3}",
    "18",
    "x^2+1",
    "(1,2)",
    "\\sqrt{2}",
    "\\text{east}",
    "[0,1)",
    "0.5",
    "x<3",
    "1,2",
    "5 \\text{ cm}",
    "28\\%",
]
PATIENCE = 5.0
"""Seconds for one answer on a busy machine; a reader that took exponential time would need hours."""


def question(number: int, gold: str, grader: str) -> Question:
    meta = {"options": OPTIONS} if grader == "choice" else {}
    return Question(
        id=str(number), dataset="d", source="s", split="t", text="How many?", gold=gold, grader=grader, meta=meta
    )


def answers(count: int, seed: int) -> tuple[list[Question], list[str]]:
    """Questions of every grader, with answers made of pieces, and real answers cut and doubled."""
    rng = random.Random(seed)
    questions, given = [], []
    for n in range(count):
        grader = ("numeric", "choice", "exact", "math", "math")[n % 5]
        gold = {"numeric": "#### 18", "choice": "B", "exact": "nus"}.get(grader) or rng.choice(GOLDS)
        text = "".join(rng.choice(PIECES) for _ in range(rng.choice((1, 3, 8, 20, 60))))
        if rng.random() < 0.3:
            cut = rng.randrange(len(gold) + 1)
            text = gold[:cut] + text[: rng.randrange(4)] + gold[cut:]
        questions.append(question(n, gold, grader))
        given.append(text)
    return questions, given


def check(count: int, seed: int) -> None:
    verdicts = grade_many(*answers(count, seed))
    assert len(verdicts) == count
    for verdict in verdicts:
        assert verdict.correct is (verdict.outcome is Outcome.CORRECT)
        assert verdict.outcome in (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED)
        assert verdict.correct or verdict.note
    assert 0 < sum(v.correct for v in verdicts) < count // 2  # "18" for 18 among much noise
    assert len(shared_pool().workers) <= 2


@pytest.fixture(autouse=True)
def limits():
    set_limits(seconds=1.0, memory_mb=512, workers=2)
    yield
    set_limits(seconds=Limits().seconds, memory_mb=Limits().memory_mb, workers=Limits().workers)
    close_pool()


def test_six_hundred_answers():
    check(600, seed=0)


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30), st.sampled_from(GOLDS))
@settings(max_examples=150, deadline=None)
def test_any_answer_has_a_verdict(answer, gold):
    (number, letter, formula) = grade_many(
        [question(0, "18", "numeric"), question(1, "B", "choice"), question(2, gold, "math")], [answer] * 3
    )
    for verdict in (number, letter, formula):
        assert verdict.outcome in (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED)
        assert verdict.correct or (verdict.note and "\n" not in verdict.note)


@pytest.mark.parametrize(
    "piece", ["1,", "1 or ", "(", "\\frac{", "2^", "x^", "**", "\\boxed{", "A or ", "one or ", "\\pm ", "- ", "9!"]
)
def test_no_answer_takes_long(piece):
    for gold, grader in (("18", "numeric"), ("B", "choice"), ("x^2+1", "math"), ("1,2", "math")):
        start = time.monotonic()
        grade_many([question(0, gold, grader)], [(piece * 1000)[:1000]])
        assert time.monotonic() - start < PATIENCE


@pytest.mark.slow
def test_a_hundred_thousand_answers():
    import psutil

    me = psutil.Process()
    for part in range(20):
        check(5000, seed=100 + part)
        if part == 1:
            before = me.memory_info().rss
    assert me.memory_info().rss - before < 100 * 2**20
    workers = [p for p in me.children(recursive=True) if "corea.tasks.grading.worker" in " ".join(p.cmdline())]
    assert len(workers) <= 2
    assert all(p.memory_info().rss < 700 * 2**20 for p in workers)
    close_pool()
    assert [p for p in workers if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
