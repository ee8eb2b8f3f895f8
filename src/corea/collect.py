"""python -m corea.collect: every tier answers the calibration and test questions, into the answers table."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig

from corea.app import command
from corea.config import CollectConfig, ReplayEngineConfig


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

    cfg = with_run_defaults(cfg, HydraConfig.get().overrides.task if HydraConfig.initialized() else [])
    set_limits(**vars(cfg.data.grading))
    tiers = [] if isinstance(cfg.engine, ReplayEngineConfig) else tiers_of(cfg)
    folder = run_dir()
    if tiers and any(llm.dry_run for llm in (cfg.llm, *cfg.larger.values())):
        show_estimate(cfg, tiers, folder)
        return
    with lock_folder(folder):
        prepare_run_dir(folder, cfg, name="collect.yaml", harmless=None)  # an answer is stored by what it depends on
        with open_logger(cfg.logger, folder, cfg, job="collect") as logger:
            rows = collect_answers(cfg, tiers, folder) if tiers else replay_answers(cfg.engine, folder)
            summary = summarise(rows)
            log_summary(summary, logger)
    show(summary)
    print(f"answers: {folder / 'answers.parquet'}")


if __name__ == "__main__":
    main()
