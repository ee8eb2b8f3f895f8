"""python -m corea.sft: the cold start. Teaches a model the completion format, or trains the tiny pair from scratch."""

from __future__ import annotations

from corea.app import command
from corea.config import SftConfig


@command("sft")
def main(cfg: SftConfig) -> None:
    """Train on prompt/completion pairs and write `model/` to the run folder."""
    from corea.logger import open_logger
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir
    from corea.tasks.grading import set_limits

    set_limits(**vars(cfg.data.grading))
    folder = run_dir()
    with lock_folder(folder):
        from corea.sft.cold_start import ColdStart  # imports torch, which takes seconds

        prepare_run_dir(folder, cfg, "auto")
        with open_logger(cfg.logger, folder, cfg) as logger:
            ColdStart(cfg, folder, logger).run()
    print(f"model: {folder / 'model'}")
