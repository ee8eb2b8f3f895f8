"""Answers tables and run folders that are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from answer_tables import write_jsonl

FIGURE = {"value": 0.5, "ci95": [0.4, 0.6], "n": 4}


def rows(slm: list[bool], llm: list[bool], confidence: list[float], split: str = "test") -> list[dict[str, Any]]:
    """Two tiers that cost 1 and 10; questions q0, q1, ..."""
    found = []
    for i, (small, large, stated) in enumerate(zip(slm, llm, confidence, strict=True)):
        key = {"dataset": "sums", "question_id": f"{split}{i}", "split": split, "status": "ok"}
        found.append({**key, "tier": 0, "correct": small, "confidence": stated, "cost_usd": 1.0})
        found.append({**key, "tier": 1, "correct": large, "confidence": None, "cost_usd": 10.0})
    return found


def random_table(path: Path, seed: int, gain: float = 0.0, questions: int = 80) -> Path:
    """A table whose SLM is right more often by `gain`; the LLM and the questions are the same for every seed."""
    shared, own = np.random.default_rng(0), np.random.default_rng(seed + 1)
    found = []
    for split in ("calibration", "test"):
        ease, large = shared.random(questions), shared.random(questions) < 0.9
        small = own.random(questions) < ease + gain
        found += rows(small.tolist(), large.tolist(), np.round(ease, 1).tolist(), split)
    return write_jsonl(path, found)


def run_folder(
    folder: Path, reward: str = "corea", seed: int = 0, ece: float | None = 0.1, steps: int = 4, **more: Any
) -> Path:
    """A run folder with config.yaml, metrics.jsonl and, with `ece`, metrics.json and frontier.csv, without answers."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"seed": seed, "reward": {"name": reward, "calib": 1.0 if reward == "corea" else 0.0}, **more}
    (folder / "config.yaml").write_text(json.dumps(config))
    lines = [{"step": s, "reward": s + seed, "validation/ece": 0.1 * s} for s in range(1, steps + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if ece is not None:
        (folder / "metrics.json").write_text(json.dumps(document(ece)))
        frontier = (
            "threshold,deferral_rate,accuracy,cost_usd,accuracy_lo,accuracy_hi,cost_lo,cost_hi,on_frontier\n"
            "0,0,0.5,1,0.4,0.6,1,1,True\n2,1,0.9,11,0.8,1,11,11,True\n"
        )
        (folder / "frontier.csv").write_text(frontier)
    return folder


def document(ece: float) -> dict[str, Any]:
    """The parts of metrics.json that a comparison reads."""
    point = {"rule": "max_drop", "chosen_on": "sums", "threshold": 0.5, "cost_change": {**FIGURE, "value": -0.25},
             "accuracy": FIGURE, "deferral_rate": FIGURE}  # fmt: skip
    other = {**point, "rule": "budget", "cost_change": {**FIGURE, "value": -0.75}}
    part = {
        "slm": {"ece": {**FIGURE, "value": ece}, "auroc": {**FIGURE, "value": None}, "counts": {"status_ok": 4}},
        "llm": {"accuracy": {**FIGURE, "value": 0.9}, "cost_usd": {**FIGURE, "value": 10.0}},
        "cascade": [point, other, {**point, "chosen_on": "words", "cost_change": FIGURE}],
    }
    return {"cost_unit": "usd", "datasets": {"sums": part}, "pooled": part}
