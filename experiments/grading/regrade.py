"""Grade recorded answers again and list every disagreement with the recorded verdicts.

    python experiments/grading/regrade.py DATA [--list]

DATA holds gsm8k/ (test.jsonl, gpt4_mixtral_responses.csv) and math500_replay/ (questions.jsonl, slm_*.jsonl,
llm_*.jsonl); README.md in this folder gives their sources.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path

from corea.tasks.grading import grade_many
from corea.tasks.grading.final_answer import final_answer
from corea.types import Question, Verdict

GSM8K_MODELS = ("gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1")


def read_jsonl(path: Path) -> list[dict]:
    """One object per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def asked(number: str, text: str, gold: str, grader: str) -> Question:
    """A question: what it asks for (percent, a unit, things that are counted) decides debatable answers."""
    return Question(id=number, dataset="", source="", split="test", text=text, gold=gold, grader=grader)


def gsm8k(folder: Path, model: str) -> tuple[list[str], list[str], list[str | None], list[bool], list[Verdict]]:
    """Ids, golds, answers, recorded verdicts and new verdicts of one model's responses."""
    golds = {row["question"]: row["answer"].rpartition("#### ")[2] for row in read_jsonl(folder / "test.jsonl")}
    with open(folder / "gpt4_mixtral_responses.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [golds[row["prompt"]] for row in rows]
    answers = [final_answer(row[f"{model}_response"], "numeric") for row in rows]
    recorded = [row[model] == "True" for row in rows]
    ids = [f"row {n}" for n in range(1, len(rows) + 1)]
    questions = [asked(i, row["prompt"], g, "numeric") for i, row, g in zip(ids, rows, wanted, strict=True)]
    verdicts = grade_many(questions, answers)
    return ids, wanted, answers, recorded, verdicts


def math500(folder: Path, file: str) -> tuple[list[str], list[str], list[str | None], list[bool], list[Verdict]]:
    """The same for one file of MATH-500 answers."""
    known = {row["question_id"]: row for row in read_jsonl(folder / "questions.jsonl")}
    rows = read_jsonl(folder / file)
    ids = [row["question_id"] for row in rows]
    wanted = [known[i]["gold"] for i in ids]
    answers = [final_answer(row["text"], "math") for row in rows]
    questions = [asked(i, known[i]["question"], known[i]["gold"], "math") for i in ids]
    return ids, wanted, answers, [bool(row["recorded_correct"]) for row in rows], grade_many(questions, answers)


def main(data: Path, listed: bool) -> None:
    """Print one line per system, then the disagreements."""
    systems = [(model, gsm8k(data / "gsm8k", model)) for model in GSM8K_MODELS]
    files = sorted(p.name for p in (data / "math500_replay").glob("*lm_*.jsonl"))
    systems += [(file, math500(data / "math500_replay", file)) for file in files]
    print("| system | recorded | graded again | recorded wrong, now correct | recorded correct, now not | outcomes |")
    print("|---|---:|---:|---:|---:|---|")
    for name, (_, _, _, recorded, verdicts) in systems:
        now = [bool(v.correct) for v in verdicts]
        up = sum(n and not r for n, r in zip(now, recorded, strict=True))
        down = sum(r and not n for n, r in zip(now, recorded, strict=True))
        counts = ", ".join(f"{n} {k}" for k, n in sorted(Counter(str(v.outcome) for v in verdicts).items()))
        print(f"| {name} | {sum(recorded) / len(now):.4f} | {sum(now) / len(now):.4f} | {up} | {down} | {counts} |")
    for name, (ids, golds, answers, recorded, verdicts) in systems if listed else []:
        print(f"\n{name}")
        for i, gold, answer, before, verdict in zip(ids, golds, answers, recorded, verdicts, strict=True):
            if bool(verdict.correct) != before or str(verdict.outcome) in ("timeout", "error"):
                print(
                    f"  {i}: gold {gold!r}, answer {answer!r}: recorded {before}, now {verdict.outcome} {verdict.note}"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--list" in sys.argv)
