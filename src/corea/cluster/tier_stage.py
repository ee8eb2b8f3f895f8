"""One tier of corea.answer as an actor: a unit of questions in, finished rows into a file, deferred questions out.

    unit ─► answers that its file holds, or the engine's ─► routes decide ─┬─► finished rows: a Parquet file
                                                                           └─► deferred questions: to the next pool

A unit that is processed again, because an actor or a node has died, finds its answers in the file of its tier.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corea.cascade.decision import Reason
from corea.cascade.live_point import LivePoint
from corea.cluster.question_units import Units
from corea.cluster.shared_state import SharedLedger
from corea.cluster.unit_files import UnitStore, completion_record, read_completion, unit_file
from corea.collecting.answering import tier_engine
from corea.collecting.plan import Tier, question_key
from corea.config.data_schema import GradingConfig
from corea.config.engine_schema import OpenAIEngineConfig
from corea.config.roots import AnswerConfig
from corea.errors import UserError
from corea.runtime import atomic_write
from corea.serving.answered_table import add_verdicts, answer_table, answered_rows
from corea.serving.answering_run import new_route
from corea.serving.route import Route, read_answer
from corea.serving.tier_workers import TierWorker
from corea.tasks.grading import set_limits
from corea.types import Completion, Engine

ROWS = pa.schema([("unit", pa.int64()), ("carried", pa.string())])
"""What the pools pass on; `carried`: JSON, "" for a unit that no tier has seen."""
LEDGER = "spending"
"""Name of the ledger that all tiers share."""


@dataclass(slots=True, kw_only=True)
class StagePlan:
    """What an actor needs to know. It is sent to other nodes, which see the same run folder."""

    cfg: AnswerConfig
    primary: str
    points: dict[str, LivePoint]
    tiers: dict[int, Tier]
    units: Units
    answers: dict[int, Path]
    """Tier -> folder of its answers."""
    rows: Path
    """Folder of finished rows."""


@dataclass(slots=True, kw_only=True)
class Item:
    """A question on its way through the tiers."""

    place: int
    """Index in its unit."""
    route: Route
    answers: dict[int, list[Completion]] = field(default_factory=dict)
    """Tier -> its samples."""


class TierStage:
    """The actor of one tier. It loads the engine with the first question that it has to ask."""

    def __init__(self, plan: StagePlan, number: int, office: Any):
        set_limits(**vars(GradingConfig()))
        self.plan, self.number, self.office = plan, number, office
        self.tier = plan.tiers[number]
        self.worker: TierWorker | None = None

    def __call__(self, batch: Any) -> pa.Table:
        """Rows (unit, carried) of units with deferred questions; see `run_stages`."""
        import ray

        out: dict[str, list[Any]] = {"unit": [], "carried": []}
        for unit, carried in zip(batch["unit"], batch["carried"], strict=True):
            if ray.get(self.office.stopped.remote()) is None:
                left = self.process(int(unit), str(carried))
                out["unit"] += [int(unit)] * (left is not None)
                out["carried"] += [left] * (left is not None)
        return pa.table(out, schema=ROWS)

    def process(self, unit: int, carried: str) -> str | None:
        """Answer what the unit has for this tier; returns what is left for the next one, None: nothing."""
        state: dict[str, Any] = json.loads(carried) if carried else {"pieces": [], "whole": True}
        items = self._items(unit, state)
        try:
            self._answer(unit, items)
        except UserError as error:
            self.office.stop.remote(str(error))
            return None
        done = [item for item in items if item.route.done]
        if done:
            state["pieces"].append(self.number)
            state["whole"] &= self._write(unit, done)
        left = [item for item in items if not item.route.done]
        if left:
            self.office.answered.remote(len(done), 0)
            return json.dumps({**state, "items": [_written(item) for item in left]})
        self._finish(unit, state, len(done))
        return None

    def _finish(self, unit: int, state: dict[str, Any], questions: int) -> None:
        import ray

        ray.get(self.office.finish.remote(unit, state["pieces"], questions, state["whole"]))

    def _items(self, unit: int, state: dict[str, Any]) -> list[Item]:
        """The questions of the unit that earlier tiers have left; equal ones share a route."""
        questions = self.plan.units.read(unit)
        shared: dict[tuple[str, str, str], Route] = {}
        found = []
        for given in state.get("items") or [{"place": place, "answers": {}} for place in range(len(questions))]:
            question = questions[given["place"]]
            answers = {int(t): [read_completion(c) for c in group] for t, group in given["answers"].items()}
            key = (question.dataset, question.id, question.text)
            if key not in shared:
                route = shared[key] = new_route(question, self.plan.points, self.plan.primary)
                while route.tier in answers:
                    route.take(read_answer(self.plan.tiers[route.tier], question, answers[route.tier]))
            found.append(Item(place=given["place"], route=shared[key], answers=answers))
        return found

    def _answer(self, unit: int, items: Sequence[Item]) -> None:
        """Let the routes of this tier take its answers, stored or new."""
        store = UnitStore(self.plan.answers[self.number], unit)
        worker = self._worker(store)
        mine = list(dict.fromkeys(item.route for item in items if item.route.tier == self.number))
        new = [route for route in mine if not worker.knows(route)]
        for route in mine:
            if worker.knows(route):
                worker.recall(route)
        if new:
            if worker.engine is None:
                worker.engine = self._engine()
            worker.ask(sorted(new, key=lambda r: len(r.question.text), reverse=True))
        for item in items:
            key = question_key(item.route.question)
            if (key, 0) in store.known:
                item.answers[self.number] = [store.get(key, n) for n in range(self.tier.samples)]

    def _worker(self, store: UnitStore) -> TierWorker:
        """The worker of this actor, on the answers of a unit."""
        if self.worker is None:
            self.worker = TierWorker(self.tier, store, self.plan.cfg.answer)
        self.worker.store = store
        return self.worker

    def _engine(self) -> Engine:
        cfg = self.plan.cfg
        ledger = SharedLedger(self.office, LEDGER, cfg.budget_usd, "budget_usd", call_seconds(self.tier))
        tier = with_shared_cache(self.tier, self.plan.rows.parent / "responses")
        return tier_engine(tier, cfg.budget_usd, ledger)

    def _write(self, unit: int, done: Sequence[Item]) -> bool:
        """Write the finished rows; False if one of them is to be asked again at the next start."""
        plan, routes = self.plan, [item.route for item in done]
        rows = answered_rows(routes, plan.cfg.answer.unbound, plan.cfg.answer.on_llm_failure == "slm")
        add_verdicts(rows, [route.question for route in routes], routes)
        table = answer_table(rows, plan.tiers, plan.units.graded)
        table = table.append_column("place", pa.array([item.place for item in done], pa.int64()))
        plan.rows.mkdir(parents=True, exist_ok=True)
        with atomic_write(unit_file(plan.rows, unit, self.number)) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        return not any(row["error"] or row["fallback"] or row["reason"] == Reason.BUDGET for row in rows)


def _written(item: Item) -> dict[str, Any]:
    answers = {tier: [completion_record(c) for c in group] for tier, group in item.answers.items()}
    return {"place": item.place, "answers": answers}


def call_seconds(tier: Tier) -> float:
    """The longest that one paid call can take."""
    return tier.engine.timeout_s if isinstance(tier.engine, OpenAIEngineConfig) else 0.0


def with_shared_cache(tier: Tier, folder: Path) -> Tier:
    """The tier with a cache of responses that all nodes see, in place of one in the home folder of each: a call that
    another actor repeats is not paid twice."""
    engine = tier.engine
    if isinstance(engine, OpenAIEngineConfig) and engine.cache is not None and not Path(engine.cache).is_absolute():
        return replace(tier, engine=replace(engine, cache=str(folder.absolute())))
    return tier
