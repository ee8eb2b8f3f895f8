"""Builds the service of corea.serve from its configuration: operating point, tiers, budget."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from corea.cascade.live_point import LivePoint, PointFile, read_point
from corea.collecting.answering import tier_engine
from corea.collecting.plan import Tier
from corea.config.engine_schema import OpenAIEngineConfig
from corea.config.serve_schema import ServeConfig, ServeOptionsConfig
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.errors import UserError
from corea.prices import cost_usd
from corea.serving.live_service import CascadeService
from corea.serving.live_tiers import live_tiers, repriced
from corea.serving.queued_tier import QueuedTier
from corea.serving.shared_cores import share_cores
from corea.serving.tier_calls import LiveTier
from corea.serving.upstream import UpstreamTier

if TYPE_CHECKING:
    from corea.serving.upstream_client import UpstreamClient

CLIENT_LOGGERS = ("openai", "openai._base_client", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp")
LEDGER = "spending{}.jsonl"
"""File of the run folder with the expenses; with several workers each has its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePlan:
    """The checked parts of a server."""

    file: PointFile
    points: dict[str, LivePoint]
    """Name of a model -> the point that applies to it; the first is the cascade's own name."""
    tiers: dict[int, Tier]

    @property
    def repriced(self) -> bool:
        """True if a tier's price is not the recorded one."""
        return repriced(self.file, self.tiers)

    @property
    def words(self) -> str:
        """The chain of the first point, in one line."""
        chain = next(iter(self.points.values())).chain
        return " → ".join(f"{self.tiers[number].name} (tier {number})" for number in chain)


def plan_serving(cfg: ServeConfig) -> ServePlan:
    """Read the operating point and check that its tiers can be served. Raises UserError before anything is loaded."""
    file = read_point(cfg.operating_point)
    own = cfg.dataset or file.primary
    points = {cfg.serve.model: file.point(own)}
    points |= {f"{cfg.serve.model}/{name}": file.point(name) for name in file.datasets if _runs(file, name)}
    tiers = live_tiers(file, points.values(), cfg.tiers, cfg.serve.unbound, policy="serve")
    for number, tier in tiers.items():
        if cfg.budget_usd is not None and cost_usd(tier.price, 1, 0, 1) is None:
            raise UserError(
                f"budget_usd={cfg.budget_usd:g}: tier {number} has no price; give tiers.{number}.price.input and "
                f"tiers.{number}.price.output"
            )
    return ServePlan(file=file, points=points, tiers=tiers)


def _runs(file: PointFile, name: str) -> bool:
    """Whether a dataset has a threshold; those without are not offered."""
    return file.datasets[name].get("thresholds") is not None


def build_service(
    cfg: ServeConfig, plan: ServePlan, client: UpstreamClient, folder: Path, worker: int
) -> CascadeService:
    """Load the models of worker number `worker`, and build its service. `client` makes the calls of all servers."""
    if not cfg.serve.log_text:
        silence_clients()
    ledger = open_ledger(folder, cfg.budget_usd, cfg.serve.workers, worker)
    tiers = build_tiers(plan.tiers, cfg.serve, client, ledger)
    share_cores(tiers.values(), cfg.serve.workers)
    return CascadeService(plan.file, plan.points, tiers, cfg.serve, ledger=ledger)


def silence_clients() -> None:
    """Keep the debug lines of the HTTP clients, which hold requests and keys, out of every log."""
    for name in CLIENT_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def build_tiers(
    tiers: Mapping[int, Tier], options: ServeOptionsConfig, client: UpstreamClient, ledger: Ledger
) -> dict[int, LiveTier]:
    """Tier number -> the tier behind its server or its queue."""
    built: dict[int, LiveTier] = {}
    for number in sorted(tiers):
        before = [tier for tier in built.values() if isinstance(tier, QueuedTier)]
        built[number] = _live_tier(tiers[number], options, client, ledger, before)
    return built


def _live_tier(
    tier: Tier, options: ServeOptionsConfig, client: UpstreamClient, ledger: Ledger, before: Sequence[QueuedTier]
) -> LiveTier:
    if isinstance(tier.engine, OpenAIEngineConfig):
        names = {field.name for field in fields(OpenAIEngineConfig)} - {"_target_", "name"}
        settings = {name: getattr(tier.engine, name) for name in names} | {"cache": None}
        settings |= {} if options.tries is None else {"tries": options.tries}
        engine = OpenAIEngine(tier.path, template=tier.template, price=tier.price, ledger=ledger, **settings)
        return UpstreamTier(
            tier,
            engine,
            client,
            concurrency=options.concurrency,
            queue_size=options.queue_size,
            fresh_s=options.ready_s,
        )
    return QueuedTier(
        tier,
        tier_engine(tier, None, ledger),
        batch_size=options.batch_size,
        queue_size=options.queue_size,
        fresh_s=options.ready_s,
        hung_s=options.deadline_s,
        before=before,
    )


def open_ledger(folder: Path, budget_usd: float | None, workers: int, worker: int) -> Ledger:
    """The ledger of one worker, with its share of what is left of the budget; without a budget, in memory only.

    Raises:
        UserError: another process spends from it.
    """
    if budget_usd is None:
        return Ledger(None)
    name = LEDGER.format("" if workers == 1 else f"-{worker + 1}-of-{workers}")
    mine = {LEDGER.format("" if workers == 1 else f"-{n + 1}-of-{workers}") for n in range(workers)}
    others = [path for path in folder.glob(LEDGER.format("*")) if path.name not in mine]  # of other numbers of workers
    share = max(0.0, budget_usd - sum(map(spent_usd, others))) / workers
    return Ledger(folder / name, share, key="budget_usd")


def spent_usd(path: Path) -> float:
    """Dollars in the file of a ledger that is not in use; reservations without a settlement count in full."""
    reserved: dict[int, float] = {}
    spent = 0.0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # cut off by a kill: the call had not started
            continue
        if "reserved" in entry:
            reserved[entry["ticket"]] = entry["reserved"]
        else:
            reserved.pop(entry["ticket"], None)
            spent += entry["spent"]
    return spent + sum(reserved.values())
