"""Files of one validation: every answer as a table, and the reliability diagram."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from corea.rl.run.samples_file import samples_frame, write_samples
from corea.rl.run.validation_metrics import confidences_and_verdicts, reliability_table
from corea.types import Group


def write_validation(run_dir: Path, step: int, groups: Sequence[Group], metrics: dict[str, float]) -> Path:
    """Write validation.parquet/step-….parquet (every answer) and validation/reliability-step-….png.

    Returns:
        The path of the diagram.
    """
    write_samples(run_dir / "validation.parquet", step, samples_frame(step, groups))
    diagram = run_dir / "validation" / f"reliability-step-{step:06d}.png"
    diagram.parent.mkdir(exist_ok=True)
    title = f"step {step}: ECE {metrics['ece']:.3f}, AUROC {metrics['auroc']:.3f}"
    plot_reliability(reliability_table(*confidences_and_verdicts(groups)), diagram, title)
    return diagram


def plot_reliability(table: pd.DataFrame, path: Path, title: str) -> None:
    """Accuracy over confidence; the area of a circle shows the number of answers in its bin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.6), layout="constrained")
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    total = max(1, table["answers"].sum())
    ax.scatter(table["confidence"], table["accuracy"], s=20 + 600 * table["answers"] / total, alpha=0.7)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="stated confidence", ylabel="share correct", title=title)
    figure.savefig(path, dpi=120)
