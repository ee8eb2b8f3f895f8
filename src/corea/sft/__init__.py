"""python -m corea.sft: the cold start. Teaches a model the completion format, or trains the tiny pair from scratch."""

from __future__ import annotations

from corea.app import command
from corea.config import SftConfig


@command("sft")
def main(cfg: SftConfig) -> None:
    """Train on prompt/completion pairs and write `model/` to the run folder."""
    from corea.rl.run.launched_run import launched_run
    from corea.run_folder import launcher_ranks

    with launched_run(cfg, resume="auto") as (folder, logger):
        from corea.sft.cold_start import ColdStart  # imports torch, which takes seconds

        ColdStart(cfg, folder, logger).run()
    if launcher_ranks()[0] == 0 and (folder / "model").exists():  # none yet if it was stopped early
        print(f"model: {folder / 'model'}")
