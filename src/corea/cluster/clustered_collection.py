"""corea.collect with engine=ray: a pool of actors answers the open questions of a tier, the driver stores the answers.

The store (collecting/answer_store.py) is that of every collection, on the driver's machine: the next start, with or
without Ray, continues from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from corea.cluster.ray_session import ray_session, run_stages
from corea.cluster.shared_state import SharedLedger, shared_office
from corea.cluster.tier_stage import call_seconds, with_shared_cache
from corea.cluster.unit_files import completion_record, read_completion
from corea.collecting.answering import Answers, tier_engine, tier_sampling
from corea.collecting.confidence_signals import note
from corea.collecting.plan import Tier
from corea.config.ray_schema import RayEngineConfig, RayTierConfig
from corea.errors import UserError
from corea.tasks.prompts import build_messages
from corea.types import Completion, Engine, Question


class CollectStage:
    """An actor that answers units of questions with one tier."""

    def __init__(self, tier: Tier, folder: Path, office: Any):
        self.tier, self.folder, self.office = tier, folder, office
        self.engine: Engine | None = None

    def __call__(self, batch: Any) -> pa.Table:
        """Rows (unit, groups) with the completions of each question as JSON; none once the collection has stopped."""
        import ray

        out: dict[str, list[Any]] = {"unit": [], "groups": []}
        for unit, given in zip(batch["unit"], batch["questions"], strict=True):
            if ray.get(self.office.stopped.remote()) is not None:
                continue
            try:
                groups = self._answer([Question(**q) for q in json.loads(given)])
            except UserError as error:
                self.office.stop.remote(str(error))
                continue
            out["unit"].append(int(unit))
            out["groups"].append(json.dumps([[completion_record(c) for c in group] for group in groups]))
        return pa.table(out, schema=pa.schema([("unit", pa.int64()), ("groups", pa.string())]))

    def _answer(self, questions: list[Question]) -> list[list[Completion]]:
        if self.engine is None:
            budget = self.tier.budget_usd
            ledger = SharedLedger(self.office, self.tier.label, budget, "llm.budget_usd", call_seconds(self.tier))
            self.engine = tier_engine(with_shared_cache(self.tier, self.folder / "responses"), budget, ledger)
        messages = [build_messages(self.tier.prompt, q) for q in questions]
        groups = self.engine.generate(messages, tier_sampling(self.tier))
        note(self.tier, [completion for group in groups for completion in group])
        if (stopped := getattr(self.engine, "stopped", None)) is not None:
            self.office.stop.remote(str(stopped))
            groups = [[] if any(c.finish_reason == "error" for c in group) else group for group in groups]
        return groups


def cluster_answers(cfg: RayEngineConfig) -> Answers:
    """The way in which `collect_answers` asks a tier, on the cluster of `cfg`."""

    def answers(
        tier: Tier, questions: Sequence[Question], ledger: Path
    ) -> Iterator[tuple[list[Question], list[list[Completion]]]]:
        pool: RayTierConfig = cfg.tier(tier.tier)
        units = [list(questions[start : start + cfg.unit]) for start in range(0, len(questions), cfg.unit)]
        rows = [{"unit": n, "questions": json.dumps([asdict(q) for q in unit])} for n, unit in enumerate(units)]
        ledgers = {tier.label: (ledger.absolute(), tier.budget_usd, "llm.budget_usd")}
        with ray_session(cfg, [tier.tier]), shared_office(ledgers) as office:
            for batch in run_stages(rows, [(CollectStage, (tier, ledger.parent.absolute(), office), pool)]):
                for unit, given in zip(batch["unit"], batch["groups"], strict=True):
                    groups = [[read_completion(c) for c in group] for group in json.loads(given)]
                    kept = [(q, g) for q, g in zip(units[int(unit)], groups, strict=True) if g]
                    yield [q for q, _ in kept], [g for _, g in kept]

    return answers
