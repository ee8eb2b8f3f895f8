"""Results of EvalPlus (HumanEval+, MBPP+): `eval` has the solutions of each task with base_status and plus_status."""

from __future__ import annotations

from collections import Counter
from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import plain_text, verdict_name

TOOL = "EvalPlus results"
PREFERRED = ("plus_status", "base_status")
"""The extended tests of EvalPlus first, then those of the original data set."""


def detect(source: Source) -> bool:
    records = _records(source.document)
    return bool(records) and any("base_status" in record for record in records[:20])


def read(source: Source, pick: str | None) -> Imported:
    """`pick` is base_status or plus_status. Whatever is not "pass" (fail, timeout) is wrong."""
    records = _records(source.document)
    values = {name: [_passed(r.get(name)) for r in records] for name in PREFERRED if any(name in r for r in records)}
    chosen = verdict_name(source.path, values, PREFERRED, pick, "status")
    seen: Counter[str] = Counter()
    rows = []
    for record, correct in zip(records, values[chosen], strict=True):
        task = str(record["task_id"])
        rows.append(
            {
                "question_id": task,
                "sample": seen[task],
                "text": plain_text(record.get("solution")) or "",
                "correct": None if correct is None else bool(correct),
                "model": source.path.stem.removesuffix("_eval_results").removesuffix(".eval_results"),
            }
        )
        seen[task] += 1
    taken = {"question_id": "task_id", "text": "solution", "correct": chosen}
    notes = ["the tests of the data set alone: pick=base_status"] if len(values) > 1 and pick is None else []
    return Imported(tool=TOOL, rows=rows, raw=records, taken=taken, notes=notes)


def _records(document: Any) -> list[dict[str, Any]]:
    tasks = document.get("eval") if isinstance(document, dict) else None
    if not isinstance(tasks, dict):
        return []
    return [
        {"task_id": name, **solution}
        for name, solutions in tasks.items()
        if isinstance(solutions, list)
        for solution in solutions
        if isinstance(solution, dict)
    ]


def _passed(status: Any) -> int | None:
    return None if status is None else int(str(status).casefold() in ("pass", "passed", "success"))
