"""Results of promptfoo, as .json (`results.results`) or .jsonl: one row per test, prompt and provider."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import count, first, number, part, plain_text, verdict
from corea.tabular import read_rows

TOOL = "promptfoo results"
GOLDS = ("gold", "expected", "answer", "target", "reference", "ground_truth", "expected_answer", "solution")
QUESTIONS = ("question", "query", "prompt", "input", "problem")
ASSERTED = ("equals", "contains", "icontains", "is-json", "regex", "similar", "factuality", "llm-rubric")
"""Assertions whose value is the reference answer."""


def detect(source: Source) -> bool:
    results = source.rows if source.rows else _results(source.document)
    return bool(results) and isinstance(results[0], dict) and {"success", "provider", "vars"} <= results[0].keys()


def read(source: Source, pick: str | None) -> Imported:
    """Several providers are several models; the same test again is a further sample."""
    records = read_rows(source.path) if source.rows else _results(source.document)
    records = [r for r in records if isinstance(r, dict)]
    prompts = {(_provider(r), r.get("promptIdx")) for r in records}
    several = len(prompts) > len({p for p, _ in prompts})
    numbers: dict[tuple[str, str], int] = {}
    rows = []
    for position, record in enumerate(records):
        label = plain_text(first(record, "prompt.label", "promptIdx"))
        model = f"{_provider(record)} ({label})" if several else _provider(record)
        row = _row(record, position, model)
        key = (row["model"], row["question_id"])
        row["sample"] = numbers[key] = numbers.get(key, -1) + 1
        rows.append(row)
    taken = {"question_id": "testIdx", "text": "response.output", "correct": "success", "model": "provider"}
    taken |= {"gold": "vars", "cost_usd": "cost", "completion_tokens": "tokenUsage"}
    failures = sum(r["finish_reason"] == "error" for r in rows)
    notes = [f"{failures} requests failed"] if failures else []
    return Imported(tool=TOOL, rows=rows, raw=records, taken=taken, notes=notes)


def _results(document: Any) -> list[Any]:
    """Rows of a results file of version 3, or of an export that holds them directly."""
    found = first(document, "results.results", "results")
    return found if isinstance(found, list) else []


def _provider(record: dict[str, Any]) -> str:
    return plain_text(first(record, "provider.label")) or plain_text(first(record, "provider.id", "provider")) or ""


def _row(record: dict[str, Any], position: int, model: str) -> dict[str, Any]:
    given = {**(part(record, "testCase.vars") or {}), **(record.get("vars") or {})}
    asserted = part(record, "testCase.assert") or []
    gold = first(given, *GOLDS) or next((a.get("value") for a in asserted if part(a, "type") in ASSERTED), None)
    usage = part(record, "response.tokenUsage") or record.get("tokenUsage") or {}
    failed = record.get("failureReason") == 2 or (record.get("error") and part(record, "response.output") is None)
    latency = number(record.get("latencyMs"))
    test = record.get("testIdx")
    return {
        "question_id": str(position if test is None else test),
        "model": model,
        "question": plain_text(first(given, *QUESTIONS)) or plain_text(first(record, "prompt.raw")),
        "gold": plain_text(gold),
        "text": plain_text(part(record, "response.output")) or "",
        "correct": None if failed else verdict(record.get("success")),
        "prompt_tokens": count(usage.get("prompt")),
        "completion_tokens": count(usage.get("completion")),
        "cost_usd": number(record.get("cost")),
        "latency_s": None if latency is None else latency / 1000,
        "finish_reason": "error" if failed else None,
        "error": plain_text(record.get("error")) if failed else None,
    }
