"""python -m corea.sft: the cold start. Teaches a model the completion format, or trains the tiny pair from scratch."""

from __future__ import annotations

from corea.app import command
from corea.config import SftConfig


@command("sft")
def main(cfg: SftConfig) -> None:
    """Train on prompt/completion pairs and write `model/` to the run folder."""
    from corea.logger import NoLogger, build_logger
    from corea.run_folder import launcher_ranks, lock_folder, prepare_run_dir, run_dir
    from corea.tasks.grading import set_limits

    set_limits(**vars(cfg.data.grading))
    rank, processes = launcher_ranks()
    folder = run_dir(shared=processes > 1)
    with lock_folder(folder, enabled=rank == 0):
        from corea.rl.run.distributed import shutdown_together  # imports torch, which takes seconds
        from corea.sft.cold_start import ColdStart

        if rank == 0:
            prepare_run_dir(folder, cfg, "auto")
        logger = build_logger(cfg.logger, folder, cfg) if rank == 0 else NoLogger()
        try:
            with shutdown_together():
                ColdStart(cfg, folder, logger).run()
        finally:
            logger.close()
    if rank == 0:
        print(f"model: {folder / 'model'}")
