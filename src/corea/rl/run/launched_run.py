"""The folder and the logger of a training that may have several processes; imports torch only when it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from corea.config import SftConfig, TrainConfig
from corea.logger import Logger, NoLogger, build_logger
from corea.run_folder import launcher_ranks, lock_folder, prepare_run_dir, run_dir
from corea.tasks.grading import set_limits


@contextmanager
def launched_run(cfg: TrainConfig | SftConfig, *, resume: str, job: str = "run") -> Iterator[tuple[Path, Logger]]:
    """The run folder, locked and prepared by the first rank, and the logger, which is off on the other ranks.

    At the end all ranks destroy their process group together.

    Raises:
        UserError: another process trains in the folder, or it holds another run.
    """
    set_limits(**vars(cfg.data.grading))
    rank, processes = launcher_ranks()
    folder = run_dir(shared=processes > 1)
    with lock_folder(folder, enabled=rank == 0):
        from corea.rl.run.distributed import shutdown_together  # imports torch, which takes seconds

        if rank == 0:
            prepare_run_dir(folder, cfg, resume)
        else:
            logging.getLogger("corea").setLevel(logging.WARNING)  # rank 0 logs for all
        logger = build_logger(cfg.logger, folder, cfg, job=job) if rank == 0 else NoLogger()
        try:
            with shutdown_together():
                yield folder, logger
        finally:
            logger.close()
