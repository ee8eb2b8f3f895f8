"""Whatever a model may write ends as an outcome: no exception, no process left over, no memory that grows."""

import random

import pytest

from corea.tasks.grading import close_pool, grade_many, set_limits
from corea.tasks.grading.pool import Limits, shared_pool
from corea.types import Outcome, Question

PIECES = [
    *"0123456789+-*/^_=()[]{}|<>!,.;:$%&#@~'\"\\ abcdxyzABCDE",
    *("\\frac", "\\sqrt", "\\pi", "\\text{", "\\boxed{", "\\left(", "\\right)", "\\begin{pmatrix}", "\\end{pmatrix}"),
    *(
        "\\sum_{",
        "\\int",
        "\\infty",
        "^{",
        "_{",
        "**",
        "\\\\",
        "\x00",
        "\ud800",
        "√",
        "π",
        "°",
        "∪",
        "−",
        "½",
        "٣",
        "𝟜",
    ),
    *("import os", "__class__", "lambda x:", "factorial(", "True", "None", "nan", "1e999", "10^{9}", "sqrt(", "inf"),
    *("the answer is ", "dollars", "<answer>", "</answer>", "\n", "\t", "\r"),
]
OPTIONS = {"A": "library", "B": "a bank", "C": "3.5", "D": "\\frac{1}{2}"}


def answers(count: int, seed: int) -> tuple[list[Question], list[str]]:
    """Questions of every grader, with answers made of pieces, and real answers cut and doubled."""
    rng = random.Random(seed)
    questions, given = [], []
    for n in range(count):
        grader = ("numeric", "choice", "exact", "math", "math")[n % 5]
        gold = {"numeric": "#### 18", "choice": "B", "exact": "nus"}.get(grader) or rng.choice(
            ["\\frac{14}{3}", "18", "x^2+1", "(1,2)", "\\sqrt{2}", "\\text{east}", "[0,1)", "0.5"]
        )
        text = "".join(rng.choice(PIECES) for _ in range(rng.choice((1, 3, 8, 20, 60))))
        if rng.random() < 0.3:
            cut = rng.randrange(len(gold) + 1)
            text = gold[:cut] + text[: rng.randrange(4)] + gold[cut:]
        meta = {"options": OPTIONS} if grader == "choice" else {}
        questions.append(
            Question(id=str(n), dataset="d", source="s", split="t", text="?", gold=gold, grader=grader, meta=meta)
        )
        given.append(text)
    return questions, given


def check(count: int, seed: int) -> None:
    verdicts = grade_many(*answers(count, seed))
    assert len(verdicts) == count
    for verdict in verdicts:
        assert verdict.correct is (verdict.outcome is Outcome.CORRECT)
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
