"""Answers tables, paired questions and configurations that several tests share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.config import CascadeConfig, EvaluateConfig
from corea.metrics.levels import Levels, group


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


def config(answers: Path, out: Path | None = None, **cascade: Any) -> EvaluateConfig:
    cascade = {"name": "test", "resamples": 50, **cascade}
    return EvaluateConfig(answers=str(answers), out=str(out) if out else None, cascade=CascadeConfig(**cascade))


def recorded(folder: Path, name: str) -> pd.DataFrame:
    frame = pd.read_json(folder / f"{name}.jsonl", lines=True, dtype={"question_id": str})
    frame = frame.rename(columns={"recorded_correct": "correct", "recorded_confidence": "confidence"})
    return frame.drop(columns=["recorded_answer"], errors="ignore").assign(correct=lambda f: f["correct"].astype(int))


def make_pairs(confidence, slm, llm, slm_cost=None, llm_cost=None) -> Pairs:
    n = len(confidence)
    text = np.array([f"q{i}" for i in range(n)], object)
    return Pairs(
        dataset=np.full(n, "d", object),
        question_id=text,
        split=np.full(n, "test", object),
        confidence=np.asarray(confidence, np.float64),
        status=np.full(n, "", object),
        slm_correct=np.asarray(slm, bool),
        llm_correct=np.asarray(llm, bool),
        slm_cost=np.ones(n) if slm_cost is None else np.asarray(slm_cost, np.float64),
        llm_cost=np.full(n, 10.0) if llm_cost is None else np.asarray(llm_cost, np.float64),
        unit="usd",
    )


def questions(confidence: np.ndarray, slm: np.ndarray, llm: np.ndarray) -> Levels:
    n = len(confidence)
    names = np.arange(n).astype(str).astype(object)
    blank = np.full(n, "", object)
    return group(
        Pairs(
            dataset=blank,
            question_id=names,
            split=blank,
            confidence=np.asarray(confidence, np.float64),
            status=blank,
            slm_correct=np.asarray(slm, bool),
            llm_correct=np.asarray(llm, bool),
            slm_cost=np.ones(n),
            llm_cost=np.full(n, 10.0),
            unit="usd",
        )
    )


def rule_config(rule: str, **more: float | str) -> CascadeConfig:
    return CascadeConfig(name="test", rule=rule, **more)
