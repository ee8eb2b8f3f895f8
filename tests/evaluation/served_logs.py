"""Served logs of simulated traffic."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_700_000_000.0


def traffic(questions: int, seed: int, share: float = 0.1, threshold: float = 0.6, rate: float = 100.0) -> pd.DataFrame:
    """Questions of a cascade: the SLM agrees with the LLM as often as it says, but deferred ones less often."""
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.beta(2, 1.2, questions), 2)
    kept = confidence >= threshold
    return pd.DataFrame(
        {
            "request_id": [f"s{seed}-{n}" for n in range(questions)],
            "dataset": "sums",
            "window": (np.arange(questions) / rate).astype(int),
            "kept": kept,
            "shadow": kept & (rng.random(questions) < share),
            "probability": np.where(kept, share, np.nan),
            "usable": True,
            "confidence": confidence,
            "agrees": rng.random(questions) < confidence,
        }
    )


def write_log(folder: Path, table: pd.DataFrame, more: dict | None = None) -> Path:
    """The served log of `table` as one tail; `more`: request id -> changes of its row."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "served_log.json").write_text("{}")
    with open(folder / "tail-1-1.jsonl", "w") as file:
        for row in table.itertuples():
            file.write(json.dumps(request(row) | (more or {}).get(row.request_id, {})) + "\n")
    return folder


def request(row) -> dict:
    small = tier(0, confidence=row.confidence, threshold=0.6, cost_usd=1e-6)
    small["signals"] = {"verbalized": row.confidence, "avg_prob": row.confidence / 2, "length": 9.0}
    asked = [small, tier(1, cost_usd=2e-5)] if row.shadow or not row.kept else [small]
    return {
        "request_id": row.request_id,
        "time_s": START + 60 * row.window,
        "operating_point": "point",
        "dataset": row.dataset,
        "question_id": "q",
        "tier": 0 if row.kept else 1,
        "reason": "kept" if row.kept else "low",
        "tiers": asked,
        "shadow": bool(row.shadow),
        "shadow_probability": row.probability if row.kept else None,
        "agrees": bool(row.agrees) if len(asked) == 2 else None,
    }


def tier(number: int, **more) -> dict:
    empty = dict.fromkeys(("confidence", "threshold", "prompt_tokens", "cached_tokens", "cost_usd"))
    counts = {"completion_tokens": 9, "latency_s": 0.1, "signals": {}}
    return {"tier": number, "model": f"model{number}", "status": "ok", **empty, **counts, **more}
