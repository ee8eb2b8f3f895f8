"""corea.answer with engine=ray: from the questions to the table, in memory that does not grow with their number.

    questions ─► units ─► pool of tier 0 ─► deferred ─► pool of tier 1 ─► ...
                              │                             │
                              └── answers, finished rows ───┴─► Parquet files ─► answered.parquet, summary.json

The run folder must be visible on every node. The next start continues from the files that are there.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corea.cascade.live_point import PointFile, read_point
from corea.cluster.joined_rows import finished_units, join_rows
from corea.cluster.question_units import Units, question_units
from corea.cluster.ray_session import ray_session, run_stages
from corea.cluster.shared_state import shared_office
from corea.cluster.tier_stage import LEDGER, StagePlan, TierStage
from corea.collecting.answer_store import Store
from corea.collecting.asking_progress import AskingProgress, asking
from corea.collecting.plan import Tier
from corea.config.ray_schema import RayEngineConfig
from corea.config.roots import AnswerConfig
from corea.errors import Interrupted
from corea.runtime import atomic_write
from corea.serving.answered_table import Summary
from corea.serving.answering_run import LEDGER as LEDGER_FILE
from corea.serving.answering_run import SUMMARY, TABLE, plan_tiers
from corea.serving.live_tiers import repriced

LOOK_S = 1.0
"""Seconds between two looks at the progress."""


def answer_on_cluster(cfg: AnswerConfig, folder: Path) -> tuple[Summary, dict[int, Tier]]:
    """Answer every question, resuming an earlier run, and write table and summary into `folder`.

    Raises:
        Interrupted: by the user; units that are answered are kept.
        UserError: a tier cannot go on; answers so far are kept.
    """
    assert isinstance(cfg.engine, RayEngineConfig), "checked by the configuration"
    file = read_point(cfg.operating_point)
    units = question_units(cfg, cfg.engine.unit, file.primary, folder)
    points, tiers = plan_tiers(cfg, file, units.datasets)
    cfg.engine.require_tiers(len(tiers))
    answers = {
        number: Store.path_of(folder.absolute() / "answers", tier).with_suffix("") for number, tier in tiers.items()
    }
    rows = folder.absolute() / f"rows-{_derivation(cfg, file, tiers, units)}"
    units.folder = units.folder.absolute()
    plan = StagePlan(cfg=cfg, primary=file.primary, points=points, tiers=tiers, units=units, answers=answers, rows=rows)
    rows.mkdir(parents=True, exist_ok=True)
    _, whole = finished_units(rows / "finished.jsonl")
    if left := [unit for unit in range(len(units)) if unit not in whole]:
        _run(cfg.engine, cfg.budget_usd, plan, left, folder)
    pieces, _ = finished_units(rows / "finished.jsonl")
    summary = join_rows(rows, pieces, folder / TABLE, file, points, repriced(file, tiers))
    with atomic_write(folder / SUMMARY) as temporary:
        temporary.write_text(json.dumps(summary.to_json(), indent=1) + "\n", encoding="utf-8")
    return summary, tiers


def _derivation(cfg: AnswerConfig, file: PointFile, tiers: dict[int, Tier], units: Units) -> str:
    """Hash of what the rows depend on besides the answers."""
    given = {"point": file.sha256, "policy": asdict(cfg.answer), "grader": units.grader, "questions": units.questions}
    given |= {"tiers": {n: [tier.identity(), asdict(tier.price)] for n, tier in tiers.items()}}
    origin = (units.folder / "units.json").read_text(encoding="utf-8")
    return hashlib.sha256((json.dumps(given, sort_keys=True) + origin).encode()).hexdigest()[:12]


def _run(cfg: RayEngineConfig, budget: float | None, plan: StagePlan, left: list[int], folder: Path) -> None:
    """Pass the units `left` through the tiers."""
    total, size = plan.units.questions, plan.units.size
    done = total - sum(min(size, total - unit * size) for unit in left)
    ledgers = {LEDGER: ((folder / "answers" / LEDGER_FILE).absolute(), budget, "budget_usd")}
    numbers = sorted(plan.tiers)
    with ray_session(cfg, range(len(numbers))), shared_office(ledgers, plan.rows / "finished.jsonl") as office:
        stages = [(TierStage, (plan, number, office), cfg.tier(place)) for place, number in enumerate(numbers)]
        with asking("cascade", total, done) as bar, watched(office, bar):
            try:
                for _ in run_stages([{"unit": unit, "carried": ""} for unit in left], stages):
                    pass
            except KeyboardInterrupt as error:
                raise Interrupted("interrupted; answers are kept; the same command continues from there") from error


@contextmanager
def watched(office: Any, bar: AskingProgress) -> Iterator[None]:
    """Inside, a thread shows the progress of an office."""
    import ray

    end, seen = threading.Event(), [0, 0]

    def show() -> None:
        questions, tokens, _ = ray.get(office.progress.remote())
        bar.kept(questions - seen[0], tokens - seen[1])
        seen[:] = [questions, tokens]

    def look() -> None:
        while not end.wait(LOOK_S):
            show()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
    show()
