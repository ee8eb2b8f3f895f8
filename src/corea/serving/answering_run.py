"""corea.answer, from its configuration to the table: questions, tiers, stored answers, new answers, rows, summary."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corea.cascade.live_point import LivePoint, PointFile, read_point
from corea.collecting.answer_store import Store
from corea.collecting.answering import tier_engine
from corea.collecting.asking_progress import asking
from corea.collecting.plan import Tier
from corea.config.roots import AnswerConfig
from corea.engines.remote.ledger import Ledger
from corea.errors import Interrupted, UserError
from corea.prices import cost_usd, total
from corea.runtime import atomic_write
from corea.serving.answer_estimate import AnswerEstimate, estimate_answers
from corea.serving.answered_table import Summary, add_verdicts, answered_rows, summarise_rows, write_table
from corea.serving.live_tiers import live_tiers, repriced
from corea.serving.question_files import read_questions
from corea.serving.route import Route
from corea.serving.tier_workers import TierWorker, resume, run_pipeline
from corea.types import Question

TABLE, SUMMARY, LEDGER = "answered.parquet", "summary.json", "spending.jsonl"
"""Files of the run folder; the ledger is in its folder answers/."""


@dataclass(slots=True, kw_only=True)
class Task:
    """Questions and the tiers that answer them."""

    file: PointFile
    points: dict[str, LivePoint]
    """Dataset -> its point, for the datasets of the questions that the operating point knows."""
    tiers: dict[int, Tier]
    questions: list[Question]
    routes: list[Route]
    """Of each question; equal questions share one."""

    @property
    def repriced(self) -> bool:
        """True if a tier's price is not the recorded one."""
        return repriced(self.file, self.tiers)


def prepare(cfg: AnswerConfig) -> Task:
    """Read the operating point and the questions, and build the tiers. Raises UserError before anything is asked."""
    file = read_point(cfg.operating_point)
    questions = read_questions(cfg, file.primary)
    points, tiers = plan_tiers(cfg, file, dict.fromkeys(q.dataset for q in questions))
    shared: dict[tuple[str, str, str], Route] = {}
    routes = [shared.setdefault((q.dataset, q.id, q.text), new_route(q, points, file.primary)) for q in questions]
    return Task(file=file, points=points, tiers=tiers, questions=questions, routes=routes)


def plan_tiers(
    cfg: AnswerConfig, file: PointFile, named: Iterable[str]
) -> tuple[dict[str, LivePoint], dict[int, Tier]]:
    """Points and tiers for questions of the datasets `named`.

    Raises:
        UserError: a dataset is unknown, a tier cannot be built, or a budget lacks a price.
    """
    named = list(named)
    unknown = [name for name in named if name not in file.datasets]
    if unknown and cfg.answer.uncalibrated == "reject":
        raise UserError(
            f"{cfg.questions}: dataset {unknown[0]}: the operating point knows {', '.join(file.datasets)}; "
            "dataset=NAME takes the thresholds of one for all questions, answer.uncalibrated=llm asks the last tier"
        )
    points = {name: file.point(name) for name in (*named, *([file.primary] if unknown else [])) if name not in unknown}
    tiers = live_tiers(file, points.values(), cfg.tiers, cfg.answer.unbound)
    _require_price(cfg, tiers)
    return points, tiers


def new_route(question: Question, points: Mapping[str, LivePoint], primary: str) -> Route:
    """The route of a question that no tier has answered yet."""
    point = points.get(question.dataset, points.get(primary))
    assert point is not None, "an unknown dataset brings the primary one"
    return Route(question, point, calibrated=question.dataset in points)


def _require_price(cfg: AnswerConfig, tiers: Mapping[int, Tier]) -> None:
    for number, tier in tiers.items():
        if cfg.budget_usd is not None and cost_usd(tier.price, 1, 0, 1) is None:
            raise UserError(
                f"budget_usd={cfg.budget_usd:g}: tier {number} has no price; give tiers.{number}.price.input and "
                f"tiers.{number}.price.output"
            )


def estimate(cfg: AnswerConfig, task: Task, folder: Path) -> AnswerEstimate:
    """Estimate for the questions without a stored answer in `folder`; nothing is written."""
    with ExitStack() as stack:
        workers = {}
        for number, tier in task.tiers.items():
            if Store.path_of(folder / "answers", tier).exists():
                store = Store(folder / "answers", tier)
                stack.callback(store.close)
                workers[number] = TierWorker(tier, store, cfg.answer)
        for route in _different(task.routes):
            while route.tier in workers and workers[route.tier].knows(route):
                workers[route.tier].recall(route)
    return estimate_answers(_different(task.routes), task.tiers, task.repriced)


def answer_all_questions(cfg: AnswerConfig, task: Task, folder: Path) -> tuple[list[dict[str, Any]], Summary]:
    """Answer every question, resuming an earlier run, and write table and summary into `folder`.

    Raises:
        Interrupted: by the user; finished batches are kept.
        UserError: a tier cannot go on; answers so far are kept.
    """
    with ExitStack() as stack:
        workers = {}
        for number, tier in task.tiers.items():
            store = Store(folder / "answers", tier)
            stack.callback(store.close)
            workers[number] = TierWorker(tier, store, cfg.answer)
        routes = _different(task.routes)
        resume(workers, routes)
        if any(not route.done for route in routes):
            ledger = Ledger(folder / "answers" / LEDGER, cfg.budget_usd, key="budget_usd")
            stack.callback(ledger.close)
            _ask(cfg, workers, routes, ledger, stack)
    rows = answered_rows(task.routes, cfg.answer.unbound, cfg.answer.on_llm_failure == "slm")
    add_verdicts(rows, task.questions, task.routes)
    write_table(folder / TABLE, rows, task.tiers)
    summary = summarise_rows(rows, task.file, task.points, task.repriced)
    with atomic_write(folder / SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary.to_json(), indent=1) + "\n", encoding="utf-8")
    return rows, summary


def _ask(
    cfg: AnswerConfig, workers: Mapping[int, TierWorker], routes: Sequence[Route], ledger: Ledger, stack: ExitStack
) -> None:
    """Build the engines that open routes can reach, and run them."""
    reachable = {t for r in routes if r.tier is not None for t in r.point.chain[r.position :]}
    for number in sorted(reachable):
        tier = workers[number].tier
        engine = tier_engine(tier, cfg.budget_usd, ledger)
        stack.callback(engine.close)
        workers[number].engine = engine
    done = sum(route.done for route in routes)

    def spent() -> float | None:
        return total([route.cost_usd for route in routes if route.answers])

    with asking("cascade", len(routes), done, spent) as bar:

        def progress(batch: Sequence[Route]) -> None:
            tokens = sum(list(r.answers.values())[-1].tokens["completion_tokens"] or 0 for r in batch)
            bar.kept(sum(r.done for r in batch), tokens)

        try:
            run_pipeline(workers, routes, cfg.chunk, progress)
        except KeyboardInterrupt as error:
            kept = sum(route.done for route in routes)
            raise Interrupted(
                f"interrupted; {kept} of {len(routes)} questions are answered and kept; the same command continues "
                "from there"
            ) from error


def _different(routes: Sequence[Route]) -> list[Route]:
    return list(dict.fromkeys(routes))
