"""`vllm bench serve --save-result --save-detailed`: lists of texts, lengths and latencies, without ids and verdicts."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import count, number, part, plain_text

TOOL = "vLLM benchmark"


def detect(source: Source) -> bool:
    document = source.document
    return isinstance(document, dict) and isinstance(document.get("generated_texts"), list) and "input_lens" in document


def read(source: Source, pick: str | None) -> Imported:
    """The requests stand in the order in which the questions were sent."""
    document = source.document
    texts = document["generated_texts"]
    model = plain_text(document.get("model_id")) or source.path.stem
    raw = [
        {k: v[n] for k, v in document.items() if isinstance(v, list) and len(v) == len(texts)}
        for n in range(len(texts))
    ]
    rows = [{**_row(record, n), "model": model} for n, record in enumerate(raw)]
    taken = {"question_id": "the row's number", "text": "generated_texts", "prompt_tokens": "input_lens"}
    taken |= {"completion_tokens": "output_lens", "latency_s": "ttfts and itls"}
    failures = sum(r["finish_reason"] == "error" for r in rows)
    notes = [f"{failures} requests failed"] if failures else []
    return Imported(tool=TOOL, rows=rows, raw=raw, taken=taken, notes=notes, positional=True)


def _row(record: dict[str, Any], n: int) -> dict[str, Any]:
    failed = plain_text(record.get("errors"))
    waits = [number(record.get("ttfts")), *(number(v) for v in part(record, "itls") or [])]
    return {
        "question_id": str(n),
        "text": plain_text(record.get("generated_texts")) or "",
        "prompt_tokens": count(record.get("input_lens")),
        "completion_tokens": count(record.get("output_lens")),
        "latency_s": sum(w for w in waits if w is not None) if waits[0] is not None else None,
        "finish_reason": "error" if failed else None,
        "error": failed or None,
    }
