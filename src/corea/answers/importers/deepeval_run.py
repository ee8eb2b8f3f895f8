"""A test run of DeepEval (.latest_test_run.json, or an exported run): `testCases` with their metrics."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import first, number, plain_text, verdict, verdict_name

TOOL = "DeepEval test run"
WHOLE = "success"
"""The verdict on a test case: all of its metrics pass."""


def detect(source: Source) -> bool:
    cases = _cases(source.document)
    return bool(cases) and isinstance(cases[0], dict) and bool({"actualOutput", "actual_output"} & cases[0].keys())


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names a metric, whose `success` is the verdict then."""
    cases = [c for c in _cases(source.document) if isinstance(c, dict)]
    passed = [{str(m.get("name")): m.get("success") for m in _metrics(case)} for case in cases]
    names = list(dict.fromkeys(name for metrics in passed for name in metrics))
    values = {WHOLE: [c.get("success") for c in cases], **{n: [p.get(n) for p in passed] for n in names}}
    chosen = verdict_name(source.path, values, (WHOLE,), pick, "metric")
    named = [plain_text(c.get("name")) for c in cases]
    unique = len(set(named)) == len(cases) and None not in named
    rows = [_row(case, values[chosen][n], named[n] if unique else str(n)) for n, case in enumerate(cases)]
    taken = {"question_id": "name" if unique else "the row's number", "text": "actualOutput", "gold": "expectedOutput"}
    taken |= {"correct": chosen if chosen == WHOLE else f"{chosen} (success)"}
    notes = [f"metrics are {', '.join(names)}: pick=METRIC takes one alone"] if len(names) > 1 and pick is None else []
    rows = [{**row, "model": source.path.stem} for row in rows]
    return Imported(tool=TOOL, rows=rows, raw=cases, taken=taken, notes=notes, positional=not unique)


def _cases(document: Any) -> list[Any]:
    found = first(document, "testCases", "test_cases", "testRunData.testCases", "test_results")
    return found if isinstance(found, list) else []


def _metrics(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [m for m in first(case, "metricsData", "metrics_data") or [] if isinstance(m, dict)]


def _row(case: dict[str, Any], success: Any, name: str | None) -> dict[str, Any]:
    return {
        "question_id": str(name),
        "question": plain_text(case.get("input")),
        "gold": plain_text(first(case, "expectedOutput", "expected_output")),
        "text": plain_text(first(case, "actualOutput", "actual_output")) or "",
        "correct": verdict(success),
        "cost_usd": number(first(case, "tokenCost", "token_cost")),
        "latency_s": number(first(case, "completionTime", "completion_time")),
    }
