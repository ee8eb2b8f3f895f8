"""The panel: how the model under training answers held-out questions, greedily, every N steps.

The questions lie on the calibration side of the split and are drawn with a seed of their own, so no figure that is
reported at the end is computed on them. Looking changes nothing in the run: greedy decoding draws no random numbers.

Legend: N questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from corea.config import TrainConfig
from corea.metrics.calibration import bin_edges, equal_width, measure
from corea.rl.rollout.extra_rewards import Component
from corea.rl.rollout.groups import make_groups, messages
from corea.rl.run import distributed
from corea.rl.run.samples_file import samples_frame, write_samples
from corea.tasks.mixes import held_out, training_sources
from corea.types import Engine, Group, Question, Sampling

SEED_OFFSET = 7_919
"""Added to data.seed: other questions than those that thresholds are chosen on."""
SHOWN_SHARES = 20
"""Most confidence values whose share is logged."""


class Panel:
    """Held-out questions and the figures of the answers to them."""

    def __init__(self, cfg: TrainConfig, engine: Engine, extras: dict[str, Component]):
        self.cfg = cfg
        self.engine = engine
        self.extras = extras
        self.questions: list[Question] = []

    def look(self) -> list[Group]:
        """Answers of the current model, on every rank those of all ranks."""
        trainer = self.cfg.trainer
        if not self.questions:
            sources, seed = training_sources(self.cfg.data), self.cfg.data.seed + SEED_OFFSET
            self.questions = held_out(sources, "calibration", trainer.validation_questions, dataset="panel", seed=seed)
        mine = self.questions[distributed.rank() :: distributed.world_size()]
        sampling = Sampling(temperature=0.0, max_tokens=self.cfg.model.max_tokens, n=1)
        answers = self.engine.generate(messages(mine, self.cfg.model.prompt), sampling)
        groups = make_groups(mine, answers, self.cfg, self.extras)
        return [g for part in distributed.gather(groups) for g in part]


def answers_of(groups: Sequence[Group]) -> tuple[np.ndarray, np.ndarray]:
    """(confidence [N], NaN where missing; correct [N] bool)."""
    rollouts = [r for g in groups for r in g.rollouts]
    confidence = [np.nan if r.parsed.confidence is None else r.parsed.confidence for r in rollouts]
    return np.array(confidence, np.float64), np.array([r.correct == 1.0 for r in rollouts])


def panel_figures(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Figures of the answers [N]; `share/0.80` is the share of answers with that confidence."""
    calibration = measure(confidence, correct)
    values, counts = np.unique(np.round(confidence[~np.isnan(confidence)], 2), return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:SHOWN_SHARES])
    return {
        "pass@1": correct.mean(),
        "ece": calibration["ece"],
        "brier": calibration["brier"],
        "auroc": calibration["auroc"],
        "cascade_area": cascade_area(confidence, correct),
        "missing_confidence_share": np.isnan(confidence).mean(),
        **{f"share/{values[k]:.2f}": counts[k] / len(confidence) for k in most},
    }


def cascade_area(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Area between accuracy over deferral rate of the cascade and that of random deferral, in accuracy points.

    Questions are deferred from the least confident on, missing confidences first, ties in random order (their mean).
    A large model that is right with the same probability on every question adds the same to both curves, so it needs
    not be known: the area is that between the shares of all questions that the small model still answers rightly.
    Positive where confidence is worth something; accuracy x (1 - accuracy) x (AUROC - 1/2) where none is missing.
    """
    rank = np.where(np.isnan(confidence), -1.0, confidence)
    levels, index = np.unique(rank, return_inverse=True)
    deferred = np.concatenate([[0.0], np.cumsum(np.bincount(index, minlength=len(levels)))]) / len(rank)
    lost = np.concatenate([[0.0], np.cumsum(np.bincount(index, weights=correct, minlength=len(levels)))]) / len(rank)
    gain = correct.mean() * deferred - lost  # over random deferral, which loses accuracy in proportion
    return float(np.trapezoid(gain, deferred))


def reliability_table(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Columns left, right, answers, confidence, accuracy: one row a bin that holds an answer."""
    given = ~np.isnan(confidence)
    edges = bin_edges(bins)
    frame = pd.DataFrame(
        {
            "bin": equal_width(confidence[given], bins),
            "confidence": confidence[given],
            "accuracy": correct[given].astype(float),
        }
    )
    table = frame.groupby("bin").agg(
        answers=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    table.insert(0, "right", edges[table.index + 1])
    table.insert(0, "left", edges[table.index])
    return table.reset_index(drop=True)


def plot_reliability(table: pd.DataFrame, path: Path, title: str) -> None:
    """Accuracy over confidence; a circle's area shows how many answers its bin holds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    total = max(1, table["answers"].sum())
    ax.scatter(table["confidence"], table["accuracy"], s=20 + 600 * table["answers"] / total, alpha=0.7)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="stated confidence", ylabel="share correct", title=title)
    figure.savefig(path, dpi=120)


def write_panel(run_dir: Path, step: int, groups: Sequence[Group], figures: dict[str, float]) -> tuple[Path, Path]:
    """panel.parquet/step-….parquet (every answer) and panel/reliability-step-….png, one of each a look."""
    write_samples(run_dir / "panel.parquet", step, samples_frame(step, groups))
    picture = run_dir / "panel" / f"reliability-step-{step:06d}.png"
    picture.parent.mkdir(exist_ok=True)
    title = f"step {step}: ECE {figures['ece']:.3f}, AUROC {figures['auroc']:.3f}"
    plot_reliability(reliability_table(*answers_of(groups)), picture, title)
    return run_dir / "panel.parquet" / f"step-{step:06d}.parquet", picture
