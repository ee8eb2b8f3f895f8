"""The YAML block of a model card: licence, base model, tags and the figures as `model-index`.

Format: https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from corea.publishing.published_run import PublishedRun

TAGS = ["corea", "calibration", "confidence", "llm-cascade", "grpo"]
SMALL = {
    "accuracy": "pass@1",
    "ece": "ECE of the confidence",
    "auroc": "AUROC of the confidence",
    "brier": "Brier score",
}
"""Figure of the small model -> its name in the index; also the metric's type on the hub."""
CASCADE = {
    "accuracy": ("accuracy", "pass@1 of the cascade"),
    "accuracy_change": ("accuracy_change", "change of pass@1 against the large model alone"),
    "cost_change": ("cost_change", "relative change of cost against the large model alone"),
    "deferral_rate": ("deferral_rate", "share of the questions sent to the large model"),
}
"""Figure of the operating point -> (metric type, name)."""


def metadata_block(run: PublishedRun) -> str:
    """The block with its `---` lines."""
    fields: dict[str, Any] = {"license": run.license, "base_model": run.base_on_hub}
    fields |= {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": TAGS}
    fields["model-index"] = [{"name": run.title, "results": index_entries(run)}]
    kept = {key: value for key, value in fields.items() if value is not None}
    return f"---\n{yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120)}---\n"


def index_entries(run: PublishedRun) -> list[dict[str, Any]]:
    """One entry per dataset: figures of the small model alone, then of the cascade at its operating point."""
    entries = []
    for name, figures in run.metrics["datasets"].items():
        metrics = [
            {"type": key, "name": label, "value": round(value, 4)}
            for key, label in SMALL.items()
            if (value := number(figures["slm"].get(key))) is not None
        ]
        expected = (run.point.get("datasets") or {}).get(name, {}).get("expected") or {}
        metrics += [
            {"type": kind, "name": label, "value": round(value, 4)}
            for key, (kind, label) in CASCADE.items()
            if (value := number(expected.get(key))) is not None
        ]
        entries.append(
            {
                "task": {"type": "text-generation", "name": "Question answering with a stated confidence"},
                "dataset": {"type": name, "name": f"{name} ({figures['questions']} questions)", "split": "test"},
                "metrics": metrics,
            }
        )
    return entries


def number(figure: Any) -> float | None:
    """The value of a figure of metrics.json; None where it is missing or undefined."""
    value = figure.get("value") if isinstance(figure, dict) else None
    return value if isinstance(value, int | float) and math.isfinite(value) else None
