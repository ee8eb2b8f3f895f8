"""Measure gradings per second: python benchmarks/grading.py [answers=20000] [workers=2] [data=DATA]

Golds and answers look like those of the real data sets (GSM8K: a number; MATH-500: LaTeX); three in four answers are
right, in another spelling. Numbers are graded in the main process, and so is mathematics that exact numbers or equal
text decide; the rest goes to math-verify in the worker processes. Each row is one call of `grade_many` with running
workers; all answers differ, so that no cache helps. With DATA (see experiments/grading), GPT-4's recorded responses to
GSM8K are graded too, including the extraction of the answer from the prose.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from pathlib import Path

from corea.provenance import cpu_name
from corea.tasks.grading import grade_many, set_limits
from corea.tasks.grading.final_answer import final_answer


def gsm8k(rng: random.Random) -> tuple[str, str]:
    """(gold, answer) of a word problem."""
    value = rng.randrange(1, 100_000)
    said = value if rng.random() < 0.75 else value + rng.randrange(1, 9)
    spelling = rng.choice(("{}", "${:,}", "${}.00", "{} dollars", "{:,}", "She makes {} a day.", "\\boxed{{{}}}"))
    return f"A step: 2 + 3 = 5.\n#### {value}", spelling.format(said)


def plain(rng: random.Random) -> tuple[str, str]:
    """(gold, answer) of a competition question whose answer is a number."""
    above, below = rng.randrange(1, 9999), rng.randrange(2, 99)
    said = above if rng.random() < 0.75 else above + 1
    return f"\\frac{{{above}}}{{{below}}}", rng.choice(("{}/{}", "\\dfrac{{{}}}{{{}}}", "$\\frac{{{}}}{{{}}}$")).format(
        said, below
    )


def latex(rng: random.Random) -> tuple[str, str]:
    """(gold, answer) of a question whose answer must be compared as mathematics."""
    a, b = rng.randrange(2, 999), rng.randrange(2, 999)
    said = a if rng.random() < 0.75 else a + 1
    return f"{a}x^2 + \\sqrt{{{b}}}", f"\\sqrt{{{b}}} + {said} x^{{2}}"


def measure(name: str, make, grader: str, answers: int) -> None:
    """Print the row of one kind of answer."""
    rng = random.Random(0)
    pairs = [make(rng) for _ in range(answers)]
    golds, given = [p[0] for p in pairs], [p[1] for p in pairs]
    grade_many(golds[:50], given[:50], grader=grader)
    start = time.perf_counter()
    verdicts = grade_many(golds[50:], given[50:], grader=grader)
    seconds = time.perf_counter() - start
    right = sum(bool(v.correct) for v in verdicts) / len(verdicts)
    print(f"| {name} | {grader} | {len(verdicts):,} | {right:.2f} | {len(verdicts) / seconds:,.0f} |", flush=True)


def measure_recorded(data: Path) -> None:
    """Print the row of the recorded responses."""
    lines = (data / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    golds = {row["question"]: row["answer"] for row in map(json.loads, lines)}
    with open(data / "gsm8k" / "gpt4_mixtral_responses.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    start = time.perf_counter()
    answers = [final_answer(row["gpt-4-1106-preview_response"], "numeric") for row in rows]
    verdicts = grade_many([golds[row["prompt"]] for row in rows], answers, grader="numeric")
    seconds = time.perf_counter() - start
    right = sum(bool(v.correct) for v in verdicts) / len(verdicts)
    print(
        f"| GSM8K, GPT-4's responses | numeric | {len(rows):,} | {right:.2f} | {len(rows) / seconds:,.0f} |", flush=True
    )


def main(arguments: list[str]) -> None:
    """Print a Markdown table."""
    options = dict(argument.split("=") for argument in arguments)
    answers, workers = int(options.get("answers", 20_000)), int(options.get("workers", 2))
    set_limits(seconds=10.0, memory_mb=1024, workers=workers)
    print(f"{cpu_name()}, {workers} worker processes\n")
    print("| answers like those of | grader | answers | share right | gradings/s |")
    print("|---|---|---:|---:|---:|")
    measure("GSM8K", gsm8k, "numeric", answers)
    measure("GSM8K", gsm8k_gold, "math", answers)
    measure("MATH-500, numbers", plain, "math", answers)
    measure("MATH-500, expressions", latex, "math", max(200, answers // 40))
    if "data" in options:
        measure_recorded(Path(options["data"]))


def gsm8k_gold(rng: random.Random) -> tuple[str, str]:
    """(gold, answer) of GSM8K with a bare number as gold answer, and an answer as it is in an answer tag."""
    value = rng.randrange(1, 100_000)
    said = value if rng.random() < 0.75 else value + rng.randrange(1, 9)
    return str(value), rng.choice(("{}", "{:,}", "{} dollars", "{}.0", "{} hours")).format(said)


if __name__ == "__main__":
    main(sys.argv[1:])
