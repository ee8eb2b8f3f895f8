"""Validation and rollout dumps of verl (trainer.validation_data_dir): JSON Lines without ids.

Where every input occurs equally often and more than once, these are samples of one question; else each row is a
question.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import plain_text, verdict, verdict_name
from corea.tabular import read_rows, table_stem

TOOL = "verl dump"
PREFERRED = ("acc", "correct", "score", "reward")
NO_METRIC = ("input", "output", "gts", "step", "pred")


def detect(source: Source) -> bool:
    return bool(source.rows) and {"input", "output", "score", "step"} <= source.rows[0].keys()


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names the reward that is the verdict. Rewards of -1 and 1 are read as wrong and right."""
    records = read_rows(source.path)
    names = dict.fromkeys(name for r in records for name in r if name not in NO_METRIC)
    values = {name: [r.get(name) for r in records] for name in names}
    for name, given in values.items():
        if set(map(str, given)) <= {"-1", "-1.0", "1", "1.0"}:
            values[name] = [0 if str(v).startswith("-") else 1 for v in given]
    chosen = verdict_name(source.path, values, PREFERRED, pick, "reward")
    inputs = [plain_text(r.get("input")) or "" for r in records]
    samples = set(Counter(inputs).values())
    repeated = len(samples) == 1 and samples != {1}
    numbers: dict[str, int] = {text: n for n, text in enumerate(dict.fromkeys(inputs))} if repeated else {}
    seen: Counter[str] = Counter()
    rows = []
    for n, (record, text) in enumerate(zip(records, inputs, strict=True)):
        row = _row(record, text, values[chosen][n])
        row["question_id"], row["sample"] = str(numbers.get(text, n)), seen[text] if repeated else 0
        seen[text] += 1
        rows.append({**row, "model": table_stem(source.path)})
    taken = {"question_id": "the row's number", "text": "output", "correct": chosen, "question": "input", "gold": "gts"}
    notes = [f"each input occurs {samples.pop()} times: samples of one question"] if repeated else []
    return Imported(tool=TOOL, rows=rows, raw=records, taken=taken, notes=notes, positional=True)


def _row(record: dict[str, Any], text: str, value: Any) -> dict[str, Any]:
    return {
        "question": text,
        "gold": plain_text(record.get("gts")),
        "text": plain_text(record.get("output")) or "",
        "answer": plain_text(record.get("pred")),
        "correct": verdict(value),
    }
