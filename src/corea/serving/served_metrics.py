"""Prometheus metrics of a server. Needs the extra `serve`.

Labels take their values from lists that this module and the operating point fix, never from a request, so the number of
series does not depend on what clients send. With several workers the variable PROMETHEUS_MULTIPROC_DIR must name a
folder before this module is loaded (`share_between_workers`); each worker then answers for all.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corea.cascade.decision import Reason
from corea.serving.served_record import ServedRecord, ServedTier

if TYPE_CHECKING:
    from fastapi import APIRouter
    from prometheus_client import CollectorRegistry

    from corea.serving.drift import Drift

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
TOKENS = ("prompt", "cached", "completion")
STATUSES = ("2xx", "3xx", "4xx", "5xx", "other")
REASONS = frozenset(reason.value for reason in Reason)
MOST_TIERS = 4
"""Values of the label tier: further tiers share the last one, "more"."""
CONFIDENCES = tuple(i / 10 for i in range(1, 11))
LATENCIES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
OVERHEADS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Seconds."""


def share_between_workers(folder: str | os.PathLike[str]) -> None:
    """Empty `folder` and let this process and its children count in it. Call before any worker starts."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
    os.environ[FOLDER] = str(folder)


def worker_ended(pid: int) -> None:
    """Forget the gauges of a worker that has ended; its counters stay."""
    if FOLDER in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)


class ServedMetrics:
    """Metrics of one worker; `observe` is thread-safe."""

    series: dict[Any, Any]
    """Metric and labels -> series, which takes longer to find in the metric."""

    def __init__(
        self,
        tiers: Iterable[int],
        drift: Drift | None = None,
        llm_alone: Callable[[ServedRecord], float | None] = lambda record: None,
    ) -> None:
        """
        Args:
            tiers: those of the operating point, in the order in which they are asked.
            llm_alone: dollars of a request if the last tier alone had answered it; None: unknown.
        """
        import prometheus_client as prometheus

        prometheus.disable_created_metrics()
        self.registry = prometheus.CollectorRegistry()
        self.drift, self.llm_alone, self.series = drift, llm_alone, {}
        self.before_page: Callable[[], None] = lambda: None
        """Called before the values are read: sets gauges."""
        tiers = list(dict.fromkeys(tiers))
        named = tiers if len(tiers) <= MOST_TIERS else tiers[: MOST_TIERS - 1]
        self.tiers = {tier: str(tier) if tier in named else "more" for tier in tiers}

        def metric(kind: type, name: str, text: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"corea_{name}", text, labels, registry=self.registry, **more)

        counter, gauge, histogram = prometheus.Counter, prometheus.Gauge, prometheus.Histogram
        sums, most = (dict[str, Any](multiprocess_mode=f"live{mode}") for mode in ("sum", "max"))
        self.requests = metric(counter, "requests", "Requests by class of HTTP status.", ("status",))
        self.answers = metric(counter, "answers", "Answers returned, by the tier that gave them.", ("tier",))
        self.reasons = metric(counter, "reasons", "Answers returned, by reason.", ("reason",))
        self.deferrals = metric(counter, "deferrals", "Questions that the first tier passed on.")
        self.shadowed = metric(counter, "shadowed", "Kept questions also sent to the last tier.")
        self.fallbacks = metric(counter, "fallbacks", "Answers of an earlier tier because a later one failed.")
        self.confidence = metric(
            histogram, "confidence", "Confidence of the first tier's answers.", buckets=CONFIDENCES
        )
        self.missing = metric(counter, "confidence_missing", "Answers of the first tier without a confidence.")
        self.tokens = metric(counter, "tokens", "Tokens by tier and kind.", ("tier", "kind"))
        self.cost = metric(counter, "cost_usd", "Dollars by tier, failed attempts included.", ("tier",))
        self.latency = metric(
            histogram, "tier_seconds", "Seconds from a request to a tier to its answer.", ("tier",), buckets=LATENCIES
        )
        self.overhead = metric(
            histogram,
            "overhead_seconds",
            "Seconds of a request outside its tiers, by the tier that answered.",
            ("tier",),
            buckets=OVERHEADS,
        )
        self.queue = metric(gauge, "queue_depth", "Requests that wait for a tier.", ("tier",), **sums)
        self.budget = partial(metric, gauge, "budget_left_usd", "Dollars left of the budget.", **sums)
        self.saved = metric(
            gauge,
            "saved_usd",
            "Dollars saved against the last tier alone; its cost is estimated for answers that were kept.",
            multiprocess_mode="sum",
        )
        self.lost = metric(gauge, "log_lost", "Requests that could not be written to the served log.", **sums)
        self.alarm = metric(gauge, "drift_alarm", "1 after a drift alarm, else 0.", **most)
        self.alarm.set(0)

    def observe(self, record: ServedRecord) -> None:
        """Count one request."""
        self.count(record.http_status)
        if self.drift is not None:
            self.alarm.set(self.drift.alarmed)
        if not record.tiers:
            return
        first = record.tiers[0]
        if first.threshold is not None:
            self._first(first, record)
        for tier in record.tiers:
            self._tier(tier)
        if record.tier is not None:
            label = self._label(record.tier)
            self._of(self.answers, label).inc()
            self._of(self.reasons, str(record.reason) if record.reason in REASONS else "other").inc()
            asked = record.tiers[:-1] if record.shadow else record.tiers
            self._of(self.overhead, label).observe(max(0.0, record.total_s - sum(t.latency_s for t in asked)))
            alone, costs = self.llm_alone(record), [t.cost_usd for t in asked if t.cost_usd is not None]
            if alone is not None and len(costs) == len(asked):
                self.saved.inc(alone - math.fsum(costs))
        if record.fallback:
            self.fallbacks.inc()
        if record.shadow:
            self.shadowed.inc()

    def count(self, http_status: int) -> None:
        """Count a request of which nothing but its status is known."""
        status = f"{http_status // 100}xx"
        self._of(self.requests, status if status in STATUSES else "other").inc()

    def set_queue(self, tier: int, depth: int) -> None:
        """Requests that wait for a tier in this worker; of tiers that share a label, the last one counts."""
        self.queue.labels(self._label(tier)).set(depth)

    def set_budget(self, usd: float) -> None:
        """Dollars left of this worker's share of the budget."""
        self._once(self.budget).set(usd)

    def set_lost(self, requests: int) -> None:
        """Requests that the served log of this worker could not write (ServedLog.dropped)."""
        self.lost.set(requests)

    def page(self) -> tuple[bytes, str]:
        """The metrics of all workers as text, and its content type."""
        import prometheus_client as prometheus

        return prometheus.generate_latest(self._all_workers()), prometheus.CONTENT_TYPE_LATEST

    def values(self) -> dict[str, dict[str, float]]:
        """Name of a sample -> its only label ("" without one) -> value, of all workers."""
        found: dict[str, dict[str, float]] = {}
        for family in self._all_workers().collect():
            for sample in family.samples:
                if len(sample.labels) < 2:
                    found.setdefault(sample.name, {})["".join(sample.labels.values())] = sample.value
        return found

    def _all_workers(self) -> CollectorRegistry:
        """The registry to read: that of this process, or one that adds up the files of all workers."""
        import prometheus_client as prometheus
        from prometheus_client import multiprocess

        self.before_page()
        if self.drift is not None:
            self.alarm.set(self.drift.alarmed)
        if FOLDER not in os.environ:
            return self.registry
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return registry

    def router(self) -> APIRouter:
        """The route /metrics, without a check of who may use it: the server adds that."""
        from fastapi import APIRouter
        from fastapi.responses import Response

        router = APIRouter()

        @router.get("/metrics", include_in_schema=False)
        def metrics() -> Response:
            data, kind = self.page()
            return Response(data, headers={"content-type": kind})

        return router

    def _first(self, first: ServedTier, record: ServedRecord) -> None:
        if first.confidence is None:
            self.missing.inc()
        else:
            self.confidence.observe(first.confidence)
        asked = record.tiers[:-1] if record.shadow else record.tiers
        if len(asked) > 1 or record.reason == Reason.BUDGET:
            self.deferrals.inc()

    def _tier(self, tier: ServedTier) -> None:
        label = self._label(tier.tier)
        for kind, number in zip(TOKENS, (tier.prompt_tokens, tier.cached_tokens, tier.completion_tokens), strict=True):
            self._of(self.tokens, label, kind).inc(number or 0)
        self._of(self.cost, label).inc(tier.cost_usd or 0.0)
        self._of(self.latency, label).observe(tier.latency_s)

    def _once(self, make: Callable[[], Any]) -> Any:
        """A metric that does not show before it is set."""
        if make not in self.series:
            self.series[make] = make()
        return self.series[make]

    def _of(self, metric: Any, *labels: str) -> Any:
        """The series of a metric."""
        key = (metric, *labels)
        found = self.series.get(key)
        if found is None:
            found = self.series[key] = metric.labels(*labels)
        return found

    def _label(self, tier: int) -> str:
        return self.tiers.get(tier, "more")
