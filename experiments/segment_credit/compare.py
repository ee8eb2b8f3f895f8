"""Answer the test questions with the model of every run of a sweep over trainer.credit and compare its two values.

    python experiments/segment_credit/compare.py [outputs/sweeps/credit]

Prints one row per run and family and, for each figure, the difference segment - whole per seed with its mean.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from corea.composition import compose
from corea.engines.local.hf import HFEngine
from corea.metrics.calibration import measure
from corea.rl.rollout.groups import make_group
from corea.rl.run.validation_metrics import cascade_area, confidences_and_verdicts
from corea.tasks.held_out import held_out
from corea.tasks.mixes import family_sources
from corea.tasks.prompts import build_messages
from corea.types import Sampling

FIGURES = ("pass@1", "ece", "auroc", "brier", "cascade_area")


def evaluate(run: Path) -> list[dict]:
    """One row per family: figures of the final model on the test split, sampled at temperature 1 as in training."""
    stored = OmegaConf.load(run / "config.yaml")
    cfg = compose("train", "logger=none")
    engine = HFEngine(str(run / "model"))
    rows = []
    for name, family in cfg.data.families.items():
        questions = held_out(family_sources(cfg.data, name), "test", family.test, dataset=name, seed=cfg.data.seed)
        sampling = Sampling(temperature=1.0, max_tokens=cfg.model.max_tokens, n=1, seed=0)
        answers = engine.generate([build_messages(cfg.model.prompt, q) for q in questions], sampling)
        confidence, correct = confidences_and_verdicts(
            [make_group(q, a, cfg) for q, a in zip(questions, answers, strict=True)]
        )
        found = {**measure(confidence, correct), "pass@1": correct.mean()}
        found["cascade_area"] = cascade_area(confidence, correct)
        place = {"credit": stored.trainer.credit, "seed": stored.seed, "family": name, "questions": len(questions)}
        rows.append({**place, **{f: found[f] for f in FIGURES}})
    return rows


def main() -> None:
    """Print both tables."""
    sweep = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/sweeps/credit")
    runs = sorted(p.parent.parent for p in sweep.glob("*/model/config.json"))
    if not runs:
        sys.exit(f"{sweep}: no finished run; make sweep SWEEP=credit")
    frame = pd.DataFrame([row for run in runs for row in evaluate(run)]).sort_values(["family", "credit", "seed"])
    print(frame.to_string(index=False, float_format="%.3f"))
    print("\nsegment - whole, of each seed, and mean ± standard error over seeds")
    wide = frame.pivot(index=["family", "seed"], columns="credit", values=list(FIGURES))
    for family, part in wide.groupby(level="family"):
        for figure in FIGURES:
            gap = (part[figure]["segment"] - part[figure]["whole"]).to_numpy()
            error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else float("nan")
            print(f"{family:12} {figure:13} {np.round(gap, 3).tolist()}  {gap.mean():+.3f} ± {error:.3f}")


if __name__ == "__main__":
    main()
