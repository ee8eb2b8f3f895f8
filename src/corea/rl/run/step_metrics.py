"""Metrics of one step. Pure; imports no torch.

Legend: B rollouts of a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corea.metrics.calibration import measure
from corea.types import Group, Outcome, Status

Columns = dict[str, list[float]]


def columns(groups: Sequence[Group]) -> Columns:
    """Columns with one entry per rollout; small enough to be sent between processes."""
    rollouts = [r for g in groups for r in g.rollouts]
    missing = float("nan")
    return {
        "reward": [r.reward for r in rollouts],
        **{f"reward/{name}": [r.rewards[name] for r in rollouts] for name in rollouts[0].rewards},
        "correct": [r.correct for r in rollouts],
        "confidence": [missing if r.parsed.confidence is None else r.parsed.confidence for r in rollouts],
        "truncated": [float(r.completion.finish_reason == "length") for r in rollouts],
        "error": [float(r.parsed.status is Status.ERROR) for r in rollouts],
        "unreadable": [float(r.outcome is Outcome.UNPARSED) for r in rollouts],
        "grading_timeout": [float(r.outcome is Outcome.TIMEOUT) for r in rollouts],
        "grading_error": [float(r.outcome is Outcome.ERROR) for r in rollouts],
        "degenerate": [float(g.degenerate) for g in groups for _ in g.rollouts],
        "pass_rate": [g.pass_rate for g in groups for _ in g.rollouts],
        "completion_tokens": [float(r.completion.completion_tokens) for r in rollouts],
        "prompt_tokens": [float(r.completion.prompt_tokens) for r in rollouts],
    }


def joined(parts: Sequence[Columns]) -> dict[str, np.ndarray]:
    """Columns of all ranks, [B] each."""
    return {name: np.concatenate([np.asarray(p[name], np.float64) for p in parts]) for name in parts[0]}


def batch_metrics(table: dict[str, np.ndarray]) -> dict[str, float]:
    """Metrics of a step. `*_share` are shares of all rollouts; confidence/* cover the rollouts that have a
    confidence."""
    confidence, correct = table["confidence"], table["correct"]
    calibration = measure(confidence, correct)
    return {
        "reward": table["reward"].mean(),
        **{name: values.mean() for name, values in table.items() if name.startswith("reward/")},
        "pass@1": correct.mean(),
        "pass_rate/std": table["pass_rate"].std(),
        **confidence_metrics(confidence[~np.isnan(confidence)]),
        "ece": calibration["ece"],
        "auroc": calibration["auroc"],
        "brier": calibration["brier"],
        "format_share": table["reward/format"].mean(),
        "missing_confidence_share": np.isnan(confidence).mean(),
        "truncated_share": table["truncated"].mean(),
        "error_share": table["error"].mean(),
        "unreadable_share": table["unreadable"].mean(),
        "grading_timeout_share": table["grading_timeout"].mean(),
        "grading_error_share": table["grading_error"].mean(),
        "degenerate_share": table["degenerate"].mean(),
        "completion_tokens": table["completion_tokens"].mean(),
    }


def confidence_metrics(values: np.ndarray) -> dict[str, float]:
    """Mean, spread and concentration of the stated confidences; NaN if there are none."""
    if not len(values):
        names = ("mean", "std", "top_share", "share_0", "share_1")
        return {"confidence/distinct": 0.0, **{f"confidence/{n}": float("nan") for n in names}}
    _, counts = np.unique(values, return_counts=True)
    return {
        "confidence/mean": values.mean(),
        "confidence/std": values.std(),
        "confidence/distinct": float(len(counts)),
        "confidence/top_share": counts.max() / len(values),
        "confidence/share_0": (values == 0).mean(),
        "confidence/share_1": (values == 1).mean(),
    }
