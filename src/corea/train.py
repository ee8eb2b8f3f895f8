"""python -m corea.train: RL that teaches a small model to answer and to know when it is right."""

from __future__ import annotations

from corea.app import command
from corea.config import TrainConfig
from corea.jobs import SweepHooks
from corea.sweep_ends import check_optimised, compare_line, finished_training


@command("train", SweepHooks(before_optimised=check_optimised, after=compare_line, finished=finished_training))
def main(cfg: TrainConfig) -> float | None:
    """Train by GRPO; write `model/`, `checkpoints/`, `metrics.jsonl` and `samples.parquet` to the run folder.

    Returns:
        The best validation value of `trainer.best_by` so far, for sweepers that optimise: the larger the better for
        pass@1, auroc and cascade_area, the smaller the better for ece and brier. None without `best_by` or validation.
    """
    from corea.rl.run.launched_run import launched_run

    with launched_run(cfg, resume=cfg.trainer.resume, job="train") as (folder, logger):
        from corea.rl.trainer import Trainer  # imports torch, which takes seconds

        trainer = Trainer(cfg, folder, logger)
        trainer.run()
    return trainer.best.value


if __name__ == "__main__":
    main()
