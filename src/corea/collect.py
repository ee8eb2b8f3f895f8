"""python -m corea.collect: every tier answers the calibration and test questions, into the answers table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corea.app import command
from corea.composition import overrides_of
from corea.config import CollectConfig, RayEngineConfig, ReplayEngineConfig

if TYPE_CHECKING:
    from corea.collecting.answering import Answers


@command("collect")
def main(cfg: CollectConfig) -> None:
    """Write `answers.parquet` (and `answers_before.parquet`, the model before RL) into the run folder."""
    from corea.collecting.answering import collect_answers
    from corea.collecting.collect_summary import log_summary, show, summarise
    from corea.collecting.estimate import show_estimate
    from corea.collecting.plan import tiers_of, with_run_defaults
    from corea.collecting.replay_tables import replay_answers
    from corea.logger import open_logger
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir
    from corea.tasks.grading import set_limits

    cfg = with_run_defaults(cfg, overrides_of(cfg))
    set_limits(**vars(cfg.data.grading))
    replayed = cfg.engine if isinstance(cfg.engine, ReplayEngineConfig) else None
    tiers = [] if replayed is not None else tiers_of(cfg)
    folder = run_dir()
    if tiers and any(llm.dry_run for llm in (cfg.llm, *cfg.larger.values())):
        show_estimate(cfg, tiers, folder)
        return
    with lock_folder(folder):
        prepare_run_dir(folder, cfg, name="collect.yaml", harmless=None)  # an answer is stored by what it depends on
        with open_logger(cfg.logger, folder, cfg, job="collect") as logger:
            if replayed is not None:
                rows = replay_answers(replayed, folder)
            else:
                rows = collect_answers(cfg, tiers, folder, _elsewhere(cfg))
            summary = summarise(rows)
            log_summary(summary, logger)
    show(summary)
    print(f"answers: {folder / 'answers.parquet'}")


def _elsewhere(cfg: CollectConfig) -> Answers | None:
    if not isinstance(cfg.engine, RayEngineConfig):
        return None
    from corea.cluster.clustered_collection import cluster_answers

    return cluster_answers(cfg.engine)


if __name__ == "__main__":
    main()
