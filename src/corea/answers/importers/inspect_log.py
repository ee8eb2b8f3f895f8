"""Logs of Inspect (UK AI Security Institute): one JSON document, or an .eval archive with one JSON file per sample."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.eval_archive import read_archive
from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import (
    count,
    first,
    mean_probability,
    number,
    part,
    plain_text,
    verdict,
    verdict_name,
)
from corea.tabular_text import refuse

TOOL = "Inspect log"
GRADES = {"N": "I"}
"""Values of a score that stand for another: no answer is a wrong one."""


def detect(source: Source) -> bool:
    return source.kind == ".eval" or (isinstance(part(source.document, "eval"), dict) and "plan" in source.document)


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names a scorer."""
    document = read_archive(source.path) if source.kind == ".eval" else source.document
    samples = [s for s in document.get("samples") or [] if isinstance(s, dict)]
    if not samples:
        raise refuse(source.path, f"{TOOL} without samples (status {document.get('status')})")
    scored = [_scores(s) for s in samples]
    names = list(dict.fromkeys(name for scores in scored for name in scores))
    values = {name: [_value(scores.get(name)) for scores in scored] for name in names}
    partial = {name for name in names if "P" in values[name]}
    for name in partial:
        values[name] = ["I" if value == "P" else value for value in values[name]]
    scorer = verdict_name(source.path, values, (), pick, "scorer") if names else ""
    rows = [
        _row(s, scores.get(scorer), given)
        for s, scores, given in zip(samples, scored, values.get(scorer, [None] * len(samples)), strict=True)
    ]
    model, task = part(document, "eval.model"), part(document, "eval.task")
    notes = [f"partial credit (P) of {scorer} counts as wrong"] if scorer in partial else []
    others = [name for name in names if name != scorer]
    notes += [f"other scorers: {', '.join(others)} (pick=NAME)"] if others else []
    taken = {"question_id": "id", "sample": "epoch", "text": "output", "gold": "target", "answer": "scores.answer"}
    taken["correct"] = f"scores.{scorer or None}"
    if any(r["confidence"] is not None for r in rows):
        taken["confidence"] = "mean token probability (logprobs)"
    rows = [{**r, "model": plain_text(model) or source.path.stem, "dataset": plain_text(task)} for r in rows]
    return Imported(tool=TOOL, rows=rows, raw=samples, taken=taken, notes=notes)


def _scores(sample: dict[str, Any]) -> dict[str, Any]:
    """Scorer -> score; logs of version 1 have one `score`."""
    scores = sample.get("scores")
    if isinstance(scores, dict):
        return scores
    return {"score": sample["score"]} if sample.get("score") is not None else {}


def _value(score: Any) -> Any:
    value = score.get("value") if isinstance(score, dict) else score
    return GRADES.get(value, value) if isinstance(value, str) else value


def _row(sample: dict[str, Any], score: Any, value: Any) -> dict[str, Any]:
    output = sample.get("output") or {}
    usage: dict[str, Any] = output.get("usage") or next(iter((sample.get("model_usage") or {}).values()), {})
    failed = plain_text(first(sample, "error.message")) or plain_text(output.get("error"))
    return {
        "question_id": str(sample["id"]),
        "sample": max((count(sample.get("epoch")) or 1) - 1, 0),
        "question": plain_text(sample.get("input")),
        "gold": plain_text(sample.get("target")),
        "text": plain_text(output.get("completion")) or plain_text(part(output, "choices.0.message.content")) or "",
        "answer": plain_text(part(score, "answer")),
        "correct": verdict(value),
        "confidence": mean_probability(part(output, "choices.0.logprobs.content")),
        "prompt_tokens": count(usage.get("input_tokens")),
        "cached_tokens": count(usage.get("input_tokens_cache_read")),
        "completion_tokens": count(usage.get("output_tokens")),
        "latency_s": number(output.get("time")),
        "finish_reason": "error" if failed and value is None else None,
        "error": failed,
    }
