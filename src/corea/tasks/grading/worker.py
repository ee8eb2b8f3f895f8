"""python -m corea.tasks.grading.worker: judges one answer after another under limits on time and memory.

Reads length-prefixed pickles of (grader, question, answer) that its parent writes to stdin, and answers each with one
line of JSON; if something must be imported first, another line comes before. The time limit is on processor time, so
that a busy machine does not turn right answers into timeouts; the kernel enforces it by ending the process, whatever
code is running. The parent limits the wall-clock time.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

from corea.tasks.grading.graders import GRADERS, gym_task
from corea.tasks.grading.mathematics import warm_up
from corea.tasks.grading.names import kind
from corea.tasks.grading.own import load_function
from corea.tasks.grading.rulings import set_unevaluated
from corea.types import Outcome, Question, Verdict

HEADER = 8
"""Bytes of the length before each job."""


def main(seconds: float, memory_mb: int, unevaluated: str) -> None:
    """Serve until stdin ends."""
    set_unevaluated(unevaluated)
    jobs = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of the user's function must not get into the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and may finish its step first
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(memory_mb)
    _send(replies, {"ready": True})
    prepared: set[tuple[str, str]] = set()
    while (job := _receive(jobs)) is not None:
        grader, question, answer = job
        if kind(grader, question) not in prepared:
            if (mistake := prepare(grader, question)) is not None:
                _send(replies, {"fatal": mistake})
                continue
            prepared.add(kind(grader, question))
            _send(replies, {"prepared": True})
        _send(replies, judge(grader, question, answer, seconds))


def limit_memory(memory_mb: int) -> None:
    """Limit the private memory of this process. No effect on systems without such a limit."""
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 2**20, memory_mb * 2**20))
    except (ValueError, OSError):
        return


def prepare(grader: str, question: Question) -> str | None:
    """Import and build what must not count against the first answer's limit; returns a configuration error, or None."""
    if grader == "math":
        warm_up()
    elif grader == "reasoning_gym":
        gym_task(question.meta["task"])
    elif grader not in GRADERS:
        try:
            function = load_function(grader)
            if (build := getattr(function, "prepare", None)) is not None:
                build(question)
        except ValueError as error:
            return str(error)
    return None


def judge(grader: str, question: Question, answer: str, seconds: float) -> dict[str, str]:
    """{"outcome", "note"}."""
    function = GRADERS.get(grader) or load_function(grader)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return _outcome(function, question, answer)
    except MemoryError:
        return {"outcome": Outcome.ERROR, "note": "grading ran out of memory", "restart": "yes"}
    except RecursionError:
        return {"outcome": Outcome.ERROR, "note": "too deeply nested to be graded"}
    except Exception as error:  # the library's or the user's code may raise anything
        return {"outcome": Outcome.ERROR, "note": _line(error)}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _outcome(
    function: Callable[[Question, str], Verdict | bool | None], question: Question, answer: str
) -> dict[str, str]:
    right = function(question, answer)
    if isinstance(right, Verdict):
        return {"outcome": right.outcome, "note": right.note}
    if right is None:
        return {"outcome": Outcome.UNPARSED, "note": "the grader cannot read it"}
    correct = float(right) == 1.0
    note = "" if correct else "the grader returned False"
    return {"outcome": Outcome.CORRECT if correct else Outcome.WRONG, "note": note}


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _receive(stream: BinaryIO) -> tuple[str, Question, str] | None:
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return None
    return pickle.loads(stream.read(int.from_bytes(header, "big")))  # only the parent process writes here


def _send(stream: BinaryIO, reply: dict) -> None:
    stream.write(json.dumps(reply).encode() + b"\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
