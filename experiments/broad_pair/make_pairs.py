"""Writes the pretraining pairs of the broad pair: questions of all its tasks with the completions of a teacher.

    python experiments/broad_pair/make_pairs.py questions DIR [--each 24000] [--only sum,family]
    python experiments/broad_pair/make_pairs.py pairs DIR --file FILE --teacher direct_answer [--weights sum=2,family=1]

The first command generates the questions of each source once, because some tasks take longer to generate than to
learn from, and writes each teacher's completion beside them. The second one mixes them for
`python -m corea.sft pairs=FILE`. Questions of a held-out split (a hash of the text decides) are left out.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from corea.composition import compose
from corea.sft.traces import direct_answer, written_steps
from corea.tasks.gym import gym_question
from corea.tasks.mixes import family_sources
from corea.tasks.question_text import partition

TEACHERS = {"direct_answer": direct_answer, "written_steps": written_steps}


def write_questions(folder: Path, each: int, only: list[str]) -> None:
    """DIR/SOURCE.jsonl: `each` training questions, with repetitions, as the task generates them."""
    data = compose("sft", "data=broad").data
    folder.mkdir(parents=True, exist_ok=True)
    for family in data.families:
        for source in family_sources(data, family):
            file = folder / f"{source['name']}.jsonl"
            if file.exists() or (only and source["name"] not in only):
                continue
            rows, index = [], 0
            while len(rows) < each:
                question = gym_question(
                    index, task=source["task"], params=source["params"], name=source["name"], dataset=family,
                    split="pretrain", seed=0,
                )  # fmt: skip
                index += 1
                if partition(question.text) == "train":
                    entry = question.meta["entry"]
                    done = {name: teacher(entry, random.Random(question.id)) for name, teacher in TEACHERS.items()}
                    rows.append(json.dumps({"prompt": question.text, **done}))
            file.write_text("\n".join(rows) + "\n")
            print(f"{file}: {len(rows)} questions, {len(set(rows))} distinct", flush=True)


def write_pairs(folder: Path, file: Path, teacher: str, weights: dict[str, float]) -> None:
    """FILE: prompt and completion; source s contributes weights[s] (default 1) times its questions."""
    pairs = []
    for source in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        count = round(len(rows) * weights.get(source.stem, 1.0))
        taken = [rows[k % len(rows)] for k in range(count)]
        pairs += [json.dumps({"prompt": r["prompt"], "completion": r[teacher]}) for r in taken]
    file.write_text("\n".join(pairs) + "\n")
    print(f"{file}: {len(pairs)} pairs")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["questions", "pairs"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--each", type=int, default=24_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--teacher", choices=list(TEACHERS))
    parser.add_argument("--weights", default="")
    args = parser.parse_args()
    if args.what == "questions":
        write_questions(args.folder, args.each, [n for n in args.only.split(",") if n])
    else:
        pairs = [p.split("=") for p in args.weights.split(",") if p]
        write_pairs(args.folder, args.file, args.teacher, {name: float(weight) for name, weight in pairs})


if __name__ == "__main__":
    main()
