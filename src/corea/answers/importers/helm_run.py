"""A run folder of HELM: display_predictions.json joined with instances.json by instance id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from corea.answers.importers.imported import Imported, Source
from corea.answers.importers.record_parts import count, number, part, plain_text, verdict, verdict_name
from corea.tabular_text import read_bytes, refuse, utf8

TOOL = "HELM run"
PREDICTIONS, INSTANCES = "display_predictions.json", "instances.json"
PREFERRED = (
    "final_number_exact_match",
    "math_equiv_chain_of_thought",
    "math_equiv",
    "quasi_exact_match",
    "exact_match_indicator",
    "exact_match",
    "quasi_prefix_exact_match",
    "prefix_exact_match",
)
NO_METRIC = (
    "num_",
    "finish_reason",
    "inference_",
    "training_",
    "max_prob",
    "logprob",
    "prompt_truncated",
    "batch_size",
)
"""How statistics that judge no answer begin."""


def detect(source: Source) -> bool:
    if source.kind == "":
        return (source.path / PREDICTIONS).is_file()
    head = part(source.document, "0")
    if not isinstance(head, dict):
        return False
    return {"instance_id", "predicted_text"} <= head.keys() or {"input", "references", "id"} <= head.keys()


def read(source: Source, pick: str | None) -> Imported:
    """`pick` names a statistic. Copies of instances with perturbations are left out."""
    folder = source.path if source.kind == "" else source.path.parent
    own = isinstance(source.document, list) and "predicted_text" in source.document[0]
    predictions = source.document if own else _records(folder, PREDICTIONS)
    instances = {str(i.get("id")): i for i in _records(folder, INSTANCES) if not i.get("perturbation")}
    kept = [p for p in predictions if not p.get("perturbation")]
    if strangers := [str(p["instance_id"]) for p in kept if str(p["instance_id"]) not in instances]:
        raise refuse(
            folder / INSTANCES, f"lacks {len(strangers)} instances of {PREDICTIONS}: {', '.join(strangers[:5])}"
        )
    stats = [p.get("stats") or {} for p in kept]
    names = dict.fromkeys(n for s in stats for n in s if not n.startswith(NO_METRIC))
    metric = verdict_name(source.path, {n: [s.get(n) for s in stats] for n in names}, PREFERRED, pick, "statistic")
    model = _model(folder)
    rows = [{**_row(p, instances[str(p["instance_id"])], metric), "model": model} for p in kept]
    taken = {"question_id": "instance_id", "text": "predicted_text", "correct": f"stats.{metric}"}
    taken |= {"question": f"{INSTANCES} input", "gold": "references tagged correct", "sample": "train_trial_index"}
    if any(r["confidence"] is not None for r in rows):
        taken["confidence"] = "stats.max_prob"
    left = len(predictions) - len(kept)
    notes = [f"{left} perturbed copies are left out"] if left else []
    return Imported(tool=TOOL, rows=rows, raw=kept, taken=taken, notes=notes)


def _records(folder: Path, name: str) -> list[dict[str, Any]]:
    path = folder / name
    if not path.is_file():
        raise refuse(path, f"no such file; a {TOOL} needs {PREDICTIONS} and {INSTANCES} in one folder")
    try:
        found = json.loads(utf8(path, read_bytes(path)))
    except (ValueError, RecursionError) as error:
        raise refuse(path, f"is not JSON: {str(error)[:80]}") from error
    return [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []


def _model(folder: Path) -> str:
    """Model of run_spec.json, or the name of the folder."""
    spec = folder / "run_spec.json"
    try:
        named = part(json.loads(spec.read_bytes()), "adapter_spec.model") if spec.is_file() else None
    except ValueError:  # a damaged file that only names the model
        named = None
    return plain_text(named) or folder.resolve().name


def _row(prediction: dict[str, Any], instance: dict[str, Any], metric: str) -> dict[str, Any]:
    stats = prediction.get("stats") or {}
    references = [r for r in instance.get("references") or [] if isinstance(r, dict)]
    gold = next((part(r, "output.text") for r in references if "correct" in (r.get("tags") or [])), None)
    probability = number(stats.get("max_prob"))
    return {
        "question_id": str(prediction["instance_id"]),
        "sample": count(prediction.get("train_trial_index")) or 0,
        "question": plain_text(part(instance, "input.text")),
        "gold": plain_text(gold),
        "text": plain_text(prediction.get("predicted_text")) or "",
        "answer": plain_text(prediction.get("mapped_output")),
        "correct": verdict(stats.get(metric)),
        "confidence": probability if probability is not None and 0 <= probability <= 1 else None,
        "prompt_tokens": count(stats.get("num_prompt_tokens")),
        "completion_tokens": count(stats.get("num_output_tokens", stats.get("num_completion_tokens"))),
        "latency_s": number(stats.get("inference_runtime")),
    }
