"""The page at / (page.html, one file without outside resources), and the figures that it shows, at /v1/corea/status."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import time
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.concurrency import run_in_threadpool

from corea.cascade.live_point import LivePoint
from corea.serving.live_service import CascadeService
from corea.serving.served_metrics import CONFIDENCES
from corea.serving.watching import Watching

PAGE = "page.html"
FRESH_S = 0.25
"""Seconds for which the figures are kept."""
CHECK_S = 1.0
"""Seconds that the figures wait for the health of the tiers."""


def page_router() -> APIRouter:
    """The page, which holds no figures and needs no key."""
    text = resources.files("corea.serving").joinpath(PAGE).read_text(encoding="utf-8")
    headers = {
        "content-security-policy": security_policy(text),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers=headers)

    return router


def security_policy(page: str) -> str:
    """Content-Security-Policy that allows the script and the style of `page`, requests to this server, and no more."""

    def allowed(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {allowed('script')}; style-src {allowed('style')}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def status_router(service: CascadeService, watching: Watching, workers: int) -> APIRouter:
    """/v1/corea/status, without a check of who may use it."""
    router = APIRouter()
    status = Status(service, watching, workers)

    @router.get("/v1/corea/status")
    async def figures() -> dict[str, Any]:
        return await status.figures()

    return router


class Status:
    """Figures of all workers; queues and drift tests are those of this worker."""

    def __init__(self, service: CascadeService, watching: Watching, workers: int):
        self.service, self.watching, self.workers = service, watching, workers
        self.known: dict[str, Any] = {}
        self.known_at = float("-inf")
        self.check: asyncio.Task[dict[int, str]] | None = None
        self.lock = asyncio.Lock()

    async def figures(self) -> dict[str, Any]:
        """The document of /v1/corea/status."""
        async with self.lock:
            if time.monotonic() - self.known_at > FRESH_S:
                health = await self._health()
                self.known = await run_in_threadpool(self._figures, health)
                self.known_at = time.monotonic()
            return self.known

    async def _health(self) -> Mapping[int, str]:
        """Last known state of the tiers; a tier that does not answer does not delay the page."""
        if self.check is None or self.check.done():
            self.check = asyncio.create_task(self.service.ready())
        await asyncio.wait({self.check}, timeout=CHECK_S)
        return self.check.result() if self.check.done() else self.service.health

    def _figures(self, health: Mapping[int, str]) -> dict[str, Any]:
        service, values = self.service, self.watching.metrics.values()
        models = service.catalogue.models
        own = next(iter(models.values()))
        compared = _number(values, "corea_confidence_count") + _number(values, "corea_confidence_missing_total")
        deferred = _number(values, "corea_deferrals_total")
        saved_known = own.llm_cost_usd is not None and not self.watching.repriced
        return {
            "model": next(iter(models)),
            "points": {name: _point(point) for name, point in models.items()},
            "operating_point": service.file.sha256,
            "unbound": service.options.unbound,
            "workers": self.workers,
            "tiers": [
                {
                    "tier": number,
                    "model": tier.tier.name,
                    "ready": not health[number] if number in health else None,
                    "error": health.get(number) or None,
                    "waiting": tier.depth,
                }
                for number, tier in sorted(service.tiers.items())
            ],
            "requests": values.get("corea_requests_total", {}),
            "answers": values.get("corea_answers_total", {}),
            "reasons": values.get("corea_reasons_total", {}),
            "compared": compared,
            "deferred": deferred,
            "deferral_rate": deferred / compared if compared else None,
            "expected_deferral": own.expected.get("deferral_rate"),
            "cost_usd": values.get("corea_cost_usd_total", {}),
            "saved_usd": _number(values, "corea_saved_usd") if saved_known else None,
            "confidence": {
                "edges": list(CONFIDENCES),
                "served": _served_shares(values, compared),
                "calibration": calibration_shares(own),
                "dataset": own.dataset,
            },
            "drift": self.watching.drift.state(),
        }


def _point(point: LivePoint) -> dict[str, Any]:
    return {
        "dataset": point.dataset,
        "signal": point.signal,
        "chain": list(point.chain),
        "thresholds": list(point.thresholds),
        "llm_cost_usd": point.llm_cost_usd,
    }


def _number(values: Mapping[str, Mapping[str, float]], name: str) -> float:
    return values.get(name, {}).get("", 0.0)


def _served_shares(values: Mapping[str, Mapping[str, float]], compared: float) -> list[float] | None:
    """Share of the confidences up to each edge and above the one before; last of all, of the missing ones."""
    if not compared:
        return None
    upto = [0.0, *(values["corea_confidence_bucket"][f"{edge:g}" if edge < 1 else "1.0"] for edge in CONFIDENCES)]
    counts = [*np.diff(upto), _number(values, "corea_confidence_missing_total")]
    return [round(float(count / compared), 4) for count in counts]


def calibration_shares(point: LivePoint) -> list[float] | None:
    """As `_served_shares`, of the calibration questions, to the resolution of the quantiles in the operating point."""
    quantiles = np.asarray(point.distribution.get("quantiles") or (), np.float64)
    missing = point.distribution.get("missing")
    if missing is None or (not len(quantiles) and missing < 1):
        return None
    upto = np.searchsorted(quantiles, CONFIDENCES, side="right") / max(len(quantiles), 1)
    upto[-1] = float(len(quantiles) > 0)
    shares = np.diff(upto, prepend=0.0) * (1 - missing)
    return [round(float(share), 4) for share in [*shares, missing]]
