"""Attaches log, metrics, shadowing and drift to a service, and builds its application.

watching = watch_service(cfg, plan, service)
app = watched_app(cfg, service, watching, access)
"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, FastAPI

from corea.collecting.plan import Tier
from corea.config.serve_schema import ServeConfig, ServeOptionsConfig
from corea.engines.remote.chat_format import most_prompt_tokens
from corea.prices import cost_usd
from corea.serving.access import AccessControl
from corea.serving.http_app import build_app, key_guard
from corea.serving.live_service import CascadeService
from corea.serving.serve_setup import ServePlan
from corea.serving.served_metrics import ServedMetrics
from corea.serving.status_page import page_router, status_router
from corea.serving.watching import Watching, watch

PULSE_S = 1.0
"""Seconds between two updates of the gauges that other workers read."""


def watch_service(cfg: ServeConfig, plan: ServePlan, service: CascadeService) -> Watching:
    """Attach log, metrics, shadow and drift of one worker to its service.

    Raises:
        UserError: the log folder cannot be written.
    """
    last = [service.tiers[number].tier for number in service.last_tiers]
    watching = watch(
        cfg.serve,
        plan.file,
        plan.points,
        workers=cfg.serve.workers,
        call_usd=max(most_call_usd(tier, cfg.serve) for tier in last),
        repriced=plan.repriced,
        text=cfg.serve.log_text,
    )
    service.observers += watching.observers
    service.refused = watching.metrics.count
    service.shadow, service.diverts = watching.shadow, watching.diverts
    watching.metrics.before_page = lambda: set_gauges(service, watching.metrics)
    return watching


def watched_app(cfg: ServeConfig, service: CascadeService, watching: Watching, access: AccessControl) -> FastAPI:
    """The application, with /metrics, /v1/feedback, the page and its figures. Only the page itself needs no key."""
    guarded = APIRouter(dependencies=[Depends(key_guard(access))])
    guarded.include_router(watching.metrics.router())
    if watching.feedback is not None:
        guarded.include_router(watching.feedback)
    guarded.include_router(status_router(service, watching, cfg.serve.workers))
    app = build_app(service, access, extras=(guarded, page_router()), health=(watching.health,))
    app.state.access = access
    return app


def most_call_usd(tier: Tier, options: ServeOptionsConfig) -> float:
    """Most dollars that the longest question costs at a tier, failed attempts included; 0 if prices are unknown."""
    longest = most_prompt_tokens([{"role": "user", "content": "x" * options.max_prompt_chars}])
    one = cost_usd(tier.price, tier.max_prompt_tokens or longest, 0, tier.max_tokens) or 0.0
    return one * tier.samples * (options.tries or getattr(tier.engine, "tries", None) or 1)


def set_gauges(service: CascadeService, metrics: ServedMetrics) -> None:
    """Queues and budget of this worker."""
    for number, tier in sorted(service.tiers.items()):
        metrics.set_queue(number, tier.depth)
    ledger = service.ledger
    if ledger is not None and ledger.budget is not None:
        metrics.set_budget(max(0.0, ledger.budget - ledger.spent - ledger.held))


async def pulse(service: CascadeService, metrics: ServedMetrics) -> None:
    """Keep the gauges of this worker up to date for /metrics of the other workers."""
    while True:
        set_gauges(service, metrics)
        await asyncio.sleep(PULSE_S)
