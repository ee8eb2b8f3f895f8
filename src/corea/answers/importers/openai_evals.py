"""The log of openai/evals: a line `spec`, then one event per line, joined by sample_id."""

from __future__ import annotations

from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import first, part, plain_text, verdict, verdict_name
from corea.tabular import read_rows
from corea.tabular_text import refuse

TOOL = "openai/evals log"
PREFERRED = ("match.correct", "metrics.correct", "metrics.accuracy", "metrics.score")


def detect(source: Source) -> bool:
    return any(isinstance(part(r, "spec.completion_fns"), list) for r in source.rows[:1]) or any(
        {"sample_id", "type", "data", "event_id"} <= r.keys() for r in source.rows[:2]
    )


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names the verdict as TYPE.KEY, e.g. metrics.score. The last sampling event of a sample is its text."""
    records = read_rows(source.path)
    spec: dict[str, Any] = next((r["spec"] for r in records if isinstance(r.get("spec"), dict)), {})
    samples: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.get("sample_id") is not None and isinstance(record.get("data"), dict):
            samples.setdefault(str(record["sample_id"]), {})[str(record.get("type"))] = record["data"]
    if not samples:
        raise refuse(source.path, f"{TOOL} without samples")
    judged = [s for s in samples.values() if s.keys() - {"sampling"}]
    found = dict.fromkeys(f"{t}.{k}" for s in judged for t in s if t in ("match", "metrics") for k in s[t])
    names = [n for n in found if n.rpartition(".")[2] not in ("expected", "picked", "sampled", "choice", "options")]
    values = {name: [part(s, name) for s in samples.values()] for name in names}
    chosen = verdict_name(source.path, values, PREFERRED, pick, "event") if names else None
    model = plain_text(part(spec, "completion_fns.0")) or source.path.stem
    dataset = plain_text(spec.get("eval_name"))
    rows = [{**_row(i, s, chosen), "model": model, "dataset": dataset} for i, s in samples.items()]
    taken = {"question_id": "sample_id", "text": "sampling.sampled", "answer": "match.picked", "gold": "match.expected"}
    taken |= {"correct": chosen} if chosen else {}
    return Imported(tool=TOOL, rows=rows, raw=list(samples.values()), taken=taken)


def _row(sample_id: str, sample: dict[str, Any], chosen: str | None) -> dict[str, Any]:
    return {
        "question_id": sample_id,
        "question": plain_text(part(sample, "sampling.prompt")),
        "gold": plain_text(part(sample, "match.expected")),
        "text": plain_text(first(sample, "sampling.sampled", "match.sampled", "metrics.sampled")) or "",
        "answer": plain_text(part(sample, "match.picked")),
        "correct": verdict(part(sample, chosen)) if chosen else None,
    }
