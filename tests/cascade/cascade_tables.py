"""Makers of answers tables, shared by the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def simulated(questions: int = 60, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Answers of three datasets with both splits, and of an uninformed model before RL."""
    rng = np.random.default_rng(seed)
    now, before = [], []
    for dataset, hard in (("in_domain", 0.0), ("other_math", 0.5), ("non_math", 1.0)):
        for split in ("calibration", "test"):
            for i in range(questions):
                p = 1 / (1 + np.exp(-(3 * rng.normal() - hard)))
                key = {"dataset": dataset, "split": split, "question_id": f"{split}-{i}", "sample": 0, "status": "ok"}
                small = {**key, "tier": 0, "model": "slm", "cost_usd": 1e-6 * rng.integers(5, 15)}
                large = {**key, "tier": 1, "model": "llm", "cost_usd": 1e-5 * rng.integers(5, 15), "confidence": None}
                now.append({**small, "correct": bool(rng.random() < p), "confidence": round(float(p), 1)})
                now.append({**large, "correct": bool(rng.random() < 0.9)})
                before.append({**small, "correct": bool(rng.random() < p), "confidence": int(rng.integers(0, 11)) / 10})
    return pd.DataFrame(now), pd.DataFrame(before)
