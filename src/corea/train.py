"""python -m corea.train: RL that teaches a small model to answer and to know when it is right."""

from __future__ import annotations

import logging

from corea.app import command
from corea.config import TrainConfig
from corea.jobs import SweepHooks
from corea.sweep_ends import check_optimised, compare_line


@command("train", SweepHooks(before_optimised=check_optimised, after=compare_line))
def main(cfg: TrainConfig) -> float | None:
    """Train by GRPO; write `model/`, `checkpoints/`, `metrics.jsonl` and `samples.parquet` to the run folder.

    Returns:
        The best validation value of `trainer.best_by` so far, for sweepers that optimise: the larger the better for
        pass@1, auroc and cascade_area, the smaller the better for ece and brier. None without `best_by` or validation.
    """
    from corea.logger import NoLogger, build_logger
    from corea.run_folder import launcher_ranks, lock_folder, prepare_run_dir, run_dir
    from corea.tasks.grading import set_limits

    set_limits(**vars(cfg.data.grading))
    rank, processes = launcher_ranks()
    folder = run_dir(shared=processes > 1)
    with lock_folder(folder, enabled=rank == 0):
        # They import torch, which takes seconds; a second process is refused before.
        from corea.rl.run.distributed import shutdown_together
        from corea.rl.trainer import Trainer

        if rank == 0:
            prepare_run_dir(folder, cfg, cfg.trainer.resume)
        else:
            logging.getLogger("corea").setLevel(logging.WARNING)  # rank 0 logs for all
        logger = build_logger(cfg.logger, folder, cfg, job="train") if rank == 0 else NoLogger()
        try:
            with shutdown_together():
                trainer = Trainer(cfg, folder, logger)
                trainer.run()
        finally:
            logger.close()
        return trainer.best.value


if __name__ == "__main__":
    main()
