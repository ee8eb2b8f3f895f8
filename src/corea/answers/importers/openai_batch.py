"""Output of OpenAI's Batch API: one chat completion or response a line, without verdicts."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import count, first, mean_probability, part, plain_text
from corea.tabular import read_rows

TOOL = "OpenAI batch output"


def detect(source: Source) -> bool:
    return bool(source.rows) and {"custom_id", "response"} <= source.rows[0].keys()


def read(source: Source, pick: str | None) -> Imported:
    """Each choice is a sample; a failed request is an answer with status error."""
    records = read_rows(source.path)
    rows, raw = [], []
    for record in records:
        body = part(record, "response.body") or {}
        for sample, (text, reason, logprobs) in enumerate(_choices(body)):
            rows.append(
                {**_row(record, body), "sample": sample, "text": text, "confidence": mean_probability(logprobs)}
            )
            failed = text == "" and not _choices(body)[0][1]
            rows[-1]["finish_reason"] = "error" if failed else reason
            raw.append(record)
    named = next((r["model"] for r in rows if r["model"]), source.path.stem)
    taken = {"question_id": "custom_id", "text": "response.body", "completion_tokens": "usage", "model": "body.model"}
    if any(r["confidence"] is not None for r in rows):
        taken["confidence"] = "mean token probability (logprobs)"
    failures = sum(r["finish_reason"] == "error" for r in rows)
    notes = [f"{failures} requests failed"] if failures else []
    return Imported(tool=TOOL, rows=[{**r, "model": named} for r in rows], raw=raw, taken=taken, notes=notes)


def _choices(body: dict[str, Any]) -> list[tuple[str, str | None, Any]]:
    """(text, finish reason, log-probabilities) of each choice; one empty choice for a failed request."""
    if isinstance(body.get("output"), list):
        messages = [m for m in body["output"] if part(m, "type") == "message"]
        text = "".join(plain_text(m.get("content")) or "" for m in messages)
        return [
            (text, "stop" if body.get("status") == "completed" else "length", part(messages, "0.content.0.logprobs"))
        ]
    found = [c for c in body.get("choices") or [] if isinstance(c, dict)]
    listed = [
        (plain_text(first(c, "message.content", "text")) or "", c.get("finish_reason"), part(c, "logprobs.content"))
        for c in sorted(found, key=lambda c: c.get("index") or 0)
    ]
    return listed or [("", None, None)]


def _row(record: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    usage = body.get("usage") or {}
    return {
        "question_id": str(record["custom_id"]),
        "model": plain_text(body.get("model")),
        "prompt_tokens": count(first(usage, "prompt_tokens", "input_tokens")),
        "cached_tokens": count(
            first(usage, "prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens")
        ),
        "completion_tokens": count(first(usage, "completion_tokens", "output_tokens")),
        "error": plain_text(first(record, "error.message", "response.body.error.message")),
    }
