"""python -m corea.evaluate: the cost and accuracy of a cascade, from an answers table."""

from __future__ import annotations

from corea.app import command
from corea.config import EvaluateConfig
from corea.runtime import rare_collections


@command("evaluate")
def main(cfg: EvaluateConfig) -> None:
    """Measure every dataset of the table; write figures, plots and report beside it, and print a summary."""
    with rare_collections():
        _evaluate(cfg)


def _evaluate(cfg: EvaluateConfig) -> None:
    from corea.evaluation.pipeline import run_evaluation
    from corea.evaluation.served_log_point import results_folder
    from corea.logger import open_logger
    from corea.report.terminal import print_summary
    from corea.report.write_results import log_results, write_outputs
    from corea.run_folder import lock_folder, prepare_run_dir

    regrade = None
    if cfg.audit is not None:
        from corea.evaluation.regrade import regrader

        regrade = regrader(cfg.audit)
    folder = results_folder(cfg)
    with lock_folder(folder):
        results = run_evaluation(cfg, regrade)
        former = None
        if cfg.former is not None:
            from corea.comparing.former_report import against_former

            former = against_former(results, cfg)  # before the files of this folder are written anew
        prepare_run_dir(folder, cfg, name="evaluate.yaml", harmless=None)
        outputs = write_outputs(results, cfg, former)
        with open_logger(cfg.logger, folder, cfg, job="evaluate", resume=False) as logger:
            log_results(results, outputs, logger)
    print_summary(results, former=former)
    print(f"report: {outputs.report or folder / 'metrics.json'}")


if __name__ == "__main__":
    main()
