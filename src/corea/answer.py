"""python -m corea.answer: the cascade of an operating point answers new questions."""

from __future__ import annotations

from corea.app import command
from corea.config import AnswerConfig
from corea.config.data_schema import GradingConfig


@command("answer")
def main(cfg: AnswerConfig) -> None:
    """Write `answered.parquet` and `summary.json` into the run folder, and print the summary."""
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir
    from corea.serving.answer_estimate import show_answer_estimate
    from corea.serving.answering_run import TABLE, answer_all_questions, estimate, prepare
    from corea.serving.question_files import STDIN
    from corea.serving.show_answers import show_answers, show_summary
    from corea.tasks.grading import set_limits

    set_limits(**vars(GradingConfig()))
    if cfg.engine is not None:
        _on_cluster(cfg)
        return
    task, folder = prepare(cfg), run_dir()
    if cfg.dry_run:
        show_answer_estimate(estimate(cfg, task, folder), task.tiers, cfg.budget_usd)
        return
    with lock_folder(folder):
        prepare_run_dir(folder, cfg, name="answer.yaml", harmless=None)  # an answer is stored by what it depends on
        rows, summary = answer_all_questions(cfg, task, folder)
    if cfg.questions == STDIN:
        show_answers(rows, task.tiers)
    show_summary(summary, task.tiers)
    print(f"answers: {folder / TABLE}")


def _on_cluster(cfg: AnswerConfig) -> None:
    """The same with engine=ray, without all rows in memory."""
    import pyarrow.parquet as pq

    from corea.cluster.clustered_answers import answer_on_cluster
    from corea.run_folder import lock_folder, prepare_run_dir, run_dir
    from corea.serving.answering_run import TABLE
    from corea.serving.question_files import STDIN
    from corea.serving.show_answers import show_answers, show_summary

    folder = run_dir()
    with lock_folder(folder):
        prepare_run_dir(folder, cfg, name="answer.yaml", harmless=None)
        summary, tiers = answer_on_cluster(cfg, folder)
    if cfg.questions == STDIN:
        show_answers(pq.read_table(folder / TABLE).to_pylist(), tiers)
    show_summary(summary, tiers)
    print(f"answers: {folder / TABLE}")


if __name__ == "__main__":
    main()
