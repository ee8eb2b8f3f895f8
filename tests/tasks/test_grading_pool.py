"""Grading in killable processes: hostile answers end as an outcome, and the process that grades them is replaced."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from corea.errors import UserError
from corea.tasks.grading import close_pool, grade, grade_many, set_limits
from corea.tasks.grading.pool import Job, Limits, Pool, shared_pool
from corea.tasks.gym import gym_question
from corea.types import Outcome, Parsed, Question, Status

OWN = """
import os, time
def length(question, answer):
    print("noise that must not end up among the replies")
    return len(answer) == int(question.gold)
def tolerant(question, answer):
    return 1.0 if answer else None
def raises(question, answer):
    raise KeyError("no such thing")
def sleeps(question, answer):
    time.sleep(600)
def spins(question, answer):
    while True: pass
def hoards(question, answer):
    return len(bytearray(4 * 2**30)) == 0
def dies(question, answer):
    os.abort()
"""
SUM, WORKED = "\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}"
"""A gold that only math-verify reads, and its value."""
HOSTILE = [
    "10**10**10",
    "9^{9^{9^{9}}}",
    "2^{2^{2^{2^{2^{2}}}}}",
    "\\frac{1}{" * 10_000 + "1" + "}" * 10_000,
    "\\sqrt{" * 120 + "2" + "}" * 120,
    "(" * 900,
    "1" * 1_000_000,
    "1\x00",
    "\x00" * 500,
    "__import__('os').system('touch pwned')",
    "eval(compile('open(\"pwned\",\"w\")','','exec'))",
    "1000000!",
    "\\sum_{n=1}^{10^9} \\frac{1}{n}",
    "\ud800\udfff",
    "a" * 998 + "!!",
    "",
    " ",
]


@pytest.fixture(scope="module", autouse=True)
def limits():
    """Short limits for this module; the usual ones afterwards."""
    set_limits(seconds=0.5, memory_mb=512, workers=1)
    yield
    set_limits(seconds=Limits().seconds, memory_mb=Limits().memory_mb, workers=Limits().workers)
    close_pool()


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return lambda name: f"{path}:{name}"


def asked(grader: str, gold: str = "1") -> Question:
    return Question(id="q", dataset="d", source="s", split="test", text="?", gold=gold, grader=grader)


def test_hostile_answers_end_as_an_outcome_within_the_limit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = grade_many(["\\frac{1}{\\pi}"] * len(HOSTILE), HOSTILE)  # judged in this process
    there = grade_many([SUM] * 4, HOSTILE[1:5])  # math-verify has to look
    assert [v.correct for v in here + there] == [False] * (len(HOSTILE) + 4)
    by_answer = dict(zip(HOSTILE, here, strict=True))
    assert by_answer["9^{9^{9^{9}}}"].note == "has no value that can be computed"
    assert there[0].outcome is Outcome.TIMEOUT
    assert there[0].note == "grading took more than 0.5 s"
    assert by_answer["1" * 1_000_000].note == "longer than 1000 characters"
    assert by_answer[""].outcome is Outcome.UNPARSED
    assert list(tmp_path.iterdir()) == []  # nothing was run
    assert grade_many([SUM], [WORKED])[0].outcome is Outcome.CORRECT  # and the pool goes on


def test_a_function_of_the_users(own):
    questions = [asked(own("length"), "3"), asked(own("length"), "3"), asked(own("tolerant")), asked(own("tolerant"))]
    verdicts = grade_many(questions, ["abc", "ab", "x", ""])
    assert [str(v.outcome) for v in verdicts] == ["correct", "wrong", "correct", "unparsed"]
    assert grade(questions[0], Parsed(answer="abc", confidence=None, status=Status.OK, well_formed=True)) is True


def test_what_a_function_of_the_users_can_do_wrong(own):
    names = ["raises", "spins", "hoards", "dies", "length"]
    verdicts = grade_many([asked(own(name)) for name in names], ["x"] * len(names))
    assert [str(v.outcome) for v in verdicts] == ["error", "timeout", "error", "error", "correct"]
    assert verdicts[0].note == "KeyError: 'no such thing'"
    assert verdicts[2].note == "grading ran out of memory"
    assert verdicts[3].note == "the grading process died (SIGABRT)"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_keys_reach_a_function_of_the_users_and_nothing_else(own, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "very-secret")
    close_pool()
    grade_many([SUM], [WORKED])
    assert b"very-secret" not in environment()
    grade_many([asked(own("tolerant"))], ["x"])
    assert b"very-secret" in environment()
    grade_many([SUM], [WORKED])
    assert b"very-secret" not in environment()


def environment() -> bytes:
    """Of all workers."""
    return b"".join(Path(f"/proc/{w.process.pid}/environ").read_bytes() for w in shared_pool().workers)


def test_a_task_whose_scorer_evaluates_answers():
    asked = gym_question(0, task="countdown", params={}, name="c", dataset="d", split="test", seed=0)
    verdicts = grade_many([asked] * 3, [asked.gold, "9**9**9**9", "9**9**9**9-(1"])
    assert [str(v.outcome) for v in verdicts] == ["correct", "timeout", "wrong"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_workers_end_with_a_process_that_is_killed():
    code = (
        "import time; from corea.tasks.grading import grade_many; from corea.tasks.grading.pool import shared_pool\n"
        "grade_many([r'\\sum_{k=1}^{n} k'], ['n(n+1)/2'])\n"
        "print(shared_pool().workers[0].process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=with_sources())
    worker = Path(f"/proc/{int(parent.stdout.readline())}")
    assert worker.exists()
    parent.kill()
    parent.communicate()
    for _ in range(600):
        if not worker.exists() or "Z (zombie)" in (worker / "status").read_text():
            return
        time.sleep(0.1)
    pytest.fail("the worker is still there a minute later")


def with_sources() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_sleeping_is_bounded_too(own):
    pool = Pool(Limits(seconds=0.2, memory_mb=512, workers=1))
    verdict = pool.run([Job(index=0, grader=own("sleeps"), question=asked(own("sleeps")), answer="x")])[0]
    pool.close()
    assert verdict.outcome is Outcome.TIMEOUT


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.at.all:f", "nowhere.at.all cannot be imported"),
        ("os.path:no_such", "os.path has no function no_such"),
        ("missing.py:f", "no file missing.py"),
    ],
)
def test_a_function_that_is_not_there_is_one_line(name, reason):
    with pytest.raises(UserError, match=reason):
        grade_many([asked(name)], ["x"])


def test_the_order_and_the_thread_do_not_matter():
    golds = [str(n) for n in range(60)]
    answers = [f"\\sqrt{{{n * n}}}" if n % 3 else "x+y" for n in range(60)]
    found: list = []
    thread = threading.Thread(target=lambda: found.extend(grade_many(golds, answers)))
    here = grade_many(golds, answers)
    thread.start()
    thread.join()
    assert [v.correct for v in here] == [bool(n % 3) for n in range(60)]
    assert found == here


def test_equal_mathematics_is_judged_once(monkeypatch):
    judged = []
    run = Pool.run
    monkeypatch.setattr(Pool, "run", lambda self, jobs: judged.extend(j.answer for j in jobs) or run(self, jobs))
    other = "\\sum_{k=1}^{n} 2k"
    golds = [SUM, SUM, other, SUM, SUM]
    answers = [WORKED, "n+2", WORKED, WORKED, "n+2"]
    assert [v.correct for v in grade_many(golds, answers)] == [True, False, False, True, False]
    assert judged == [WORKED, "n+2", WORKED]


def test_a_worker_that_someone_kills_costs_no_verdict():
    pool = Pool(Limits(seconds=2.0, memory_mb=512, workers=1))

    def job(n):
        return Job(index=n, grader="math", question=asked("math", f"\\sum_{{k=1}}^{{n}} {n}k"), answer=f"{n}n(n+1)/2")

    pool.run([job(2)])
    (worker,) = pool.workers
    os.kill(worker.process.pid, signal.SIGKILL)
    assert pool.run([job(3)])[3].outcome is Outcome.CORRECT
    first = pool.workers[0].process
    pool.close()
    assert first.poll() is not None  # nothing is left behind
    assert pool.workers == []
