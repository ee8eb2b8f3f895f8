"""python -m corea.train: RL that teaches a small model to answer and to know when it is right."""

from __future__ import annotations

from corea.app import command
from corea.config import TrainConfig


@command("train")
def main(cfg: TrainConfig) -> None:
    """Train by GRPO and leave `model/`, `checkpoints/`, `metrics.jsonl` and `samples.parquet` in the run folder."""
    from corea.logger import build_logger
    from corea.rl.trainer import Trainer
    from corea.runtime import prepare_run_dir, run_dir
    from corea.tasks.grading import set_limits

    set_limits(**vars(cfg.data.grading))
    folder = run_dir()
    prepare_run_dir(folder, cfg, cfg.trainer.resume)
    logger = build_logger(cfg.logger, folder, cfg, job="train")
    try:
        Trainer(cfg, folder, logger).run()
    finally:
        logger.close()


if __name__ == "__main__":
    main()
