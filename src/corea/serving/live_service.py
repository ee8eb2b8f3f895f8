"""The live cascade without its endpoint: sends one request at a time through the tiers; `Route` decides.

journey = service.begin(request)
await service.answer(journey, sink)
... the response is sent ...
service.finish(journey, status)          the record goes to the observers; a shadow may follow
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from corea.cascade.decision import Reason
from corea.cascade.live_point import LivePoint, PointFile
from corea.collecting.plan import Tier
from corea.config.serve_schema import ServeOptionsConfig
from corea.engines.remote.ledger import BudgetReached, Ledger
from corea.serving.chat_requests import Catalogue, ChatRequest
from corea.serving.journey import Journey, record_of, same_answer, served_answer, served_tier
from corea.serving.route import Route, TierAnswer, read_answer
from corea.serving.served_record import ServedRecord
from corea.serving.tier_calls import LiveTier, Sink, TierCall, TierFailure, tier_sampling
from corea.serving.tracing import Tracing
from corea.tasks.prompts import build_messages
from corea.types import Completion

log = logging.getLogger(__name__)

Observer = Callable[[ServedRecord], None]


class Shadow(Protocol):
    """Draws the kept questions that the last tier answers too, in the background."""

    def draw(self, request_id: str) -> tuple[bool, float]:
        """(whether this question is sent, with which probability); bounds in rate and dollars are its own."""
        ...


class CascadeService:
    """Answers requests with the tiers of an operating point."""

    def __init__(
        self,
        file: PointFile,
        points: Mapping[str, LivePoint],
        tiers: Mapping[int, LiveTier],
        options: ServeOptionsConfig,
        *,
        ledger: Ledger | None = None,
        observers: Sequence[Observer] = (),
        shadow: Shadow | None = None,
        diverts: Callable[[], bool] = lambda: False,
    ):
        """
        Args:
            points: name of a model in requests -> the point that applies; the first is the cascade's own name.
            observers: get the record of every request.
            shadow: None: no question is shadowed.
            diverts: True while a drift alarm sends every question to the last tier.
        """
        self.file, self.tiers, self.options, self.ledger = file, tiers, options, ledger
        plain = {number: tier.tier for number, tier in tiers.items()}
        self.catalogue = Catalogue(models=dict(points), tiers=plain, options=options)
        self.samplings = {number: tier_sampling(tier) for number, tier in plain.items()}
        self.observers, self.shadow, self.diverts = list(observers), shadow, diverts
        self.refused: Callable[[int], None] = lambda status: None
        """Gets the HTTP status of each request that is refused before any tier is asked, which has no record."""
        self.tracing = Tracing()
        self.under_way = 0
        """Requests that are being answered."""
        self.shadows: set[asyncio.Task[None]] = set()
        self.health: dict[int, str] = {}
        self.health_at = float("-inf")
        self.health_lock = asyncio.Lock()

    @property
    def last_tiers(self) -> set[int]:
        """The last tier of every chain."""
        return {point.chain[-1] for point in self.catalogue.models.values()}

    def begin(self, request: ChatRequest, headers: Mapping[str, str] | None = None) -> Journey:
        """The state of a new request. `headers`: with the trace context, names in lower case."""
        reason = Reason.UNCALIBRATED if request.uncalibrated else Reason.DRIFT
        calibrated = not request.uncalibrated and not self.diverts()
        route = Route(request.question, request.point, calibrated=calibrated, reason=reason)
        return Journey(request=request, route=route, span=self.tracing.request(headers or {}))

    async def answer(self, journey: Journey, sink: Sink | None = None) -> None:
        """Ask the tiers until there is an answer (`journey.result`) or a failure (`journey.failure`).

        The answer of the last tier goes to `sink` while it comes. A cancelled caller cancels the calls.
        """
        self.under_way += 1
        try:
            async with asyncio.timeout(self.options.deadline_s):
                await self._ask_tiers(journey, sink)
        except TimeoutError:
            reason = f"no answer within serve.deadline_s={self.options.deadline_s:g}"
            journey.failure = TierFailure(status=504, reason=reason, code="deadline")
        except BudgetReached:
            journey.failure = TierFailure(status=429, reason="budget_usd is reached", code="budget")
        except TierFailure as failure:
            journey.failure = failure
        finally:
            self.under_way -= 1
        self._conclude(journey, sink)

    async def _ask_tiers(self, journey: Journey, sink: Sink | None) -> None:
        route = journey.route
        while route.tier is not None:
            place, number = route.position, route.tier
            tier, span, served = self.tiers[number], journey.span.tier(number), None
            try:
                completions = await self._ask(journey, place, sink, span.headers)
                answer = read_answer(tier.tier, route.question, completions)
                journey.completions[place] = completions
                route.take(answer)
                if span.records:
                    served = served_tier(journey, place, keep_text=False)
            finally:
                span.end(served)

    async def _ask(
        self, journey: Journey, place: int, sink: Sink | None, headers: Mapping[str, str]
    ) -> list[Completion]:
        """The completions of one tier. A failed tier gives a completion with an error, and the route goes on."""
        route, number = journey.route, journey.route.point.chain[place]
        tier, last = self.tiers[number], place == len(route.point.chain) - 1
        journey.asking, journey.asking_name, journey.asked_at = place, tier.tier.name, time.perf_counter()
        limit = self.options.deadline_s
        if not last:
            limit = self.options.slm_timeout_s or limit / len(route.point.chain)
        call = self._call(journey, tier.tier, time.monotonic() + limit)
        call.headers = headers
        try:
            if last:  # the deadline of the request limits it
                completions = await tier.ask(call, sink)
            else:
                async with asyncio.timeout(limit):
                    completions = await tier.ask(call)
            if completions[0].finish_reason == "error":
                reason = f"{tier.tier.name}: {completions[0].error or 'no answer'}"
                journey.last_failure = TierFailure(status=502, reason=reason)
            journey.choices = call.choices
        except TimeoutError:
            failure = TierFailure(status=504, reason=f"{tier.tier.name}: no answer within {limit:g} s")
            completions = [self._failed(journey, place, failure)]
        except TierFailure as failure:
            if failure.code in ("queue_full", "bad_request"):
                raise
            completions = [self._failed(journey, place, failure)]
        journey.latency[place] = time.perf_counter() - journey.asked_at
        return completions

    def _failed(self, journey: Journey, place: int, failure: TierFailure) -> Completion:
        journey.last_failure, journey.errors[place] = failure, failure.reason
        return failure.completion(self.tiers[journey.route.point.chain[place]].tier.name)

    def _call(self, journey: Journey, tier: Tier, give_up_at: float) -> TierCall:
        request, sampling = journey.request, self.samplings[tier.tier]
        messages = build_messages(tier.prompt, request.question)
        if not request.uncalibrated:
            return TierCall(request_id=request.request_id, messages=messages, sampling=sampling, give_up_at=give_up_at)
        given = request.fields
        limits = [given[n] for n in ("max_tokens", "max_completion_tokens") if given.get(n) is not None]
        temperature = given.get("temperature")
        sampling = replace(
            sampling,
            temperature=tier.temperature if temperature is None else temperature,
            max_tokens=min(limits, default=tier.max_tokens),
            n=given.get("n") or 1,
            record=(),
        )
        return TierCall(
            request_id=request.request_id,
            messages=messages if request.plain is None else request.plain,
            sampling=sampling,
            fields=given if request.plain is None else None,
            give_up_at=give_up_at,
        )

    def _conclude(self, journey: Journey, sink: Sink | None) -> None:
        """Turn a failure into an error, or into the answer of an earlier tier if the options allow that."""
        route = journey.route
        if journey.failure is None and route.result is not None and not route.result.failed:
            return
        budget = journey.failure is not None and journey.failure.code == "budget"
        policy = self.options.on_budget if budget else self.options.on_llm_failure
        sent = sink is not None and sink.begun
        if policy == "slm" and not sent and route.fall_back(Reason.BUDGET if budget else None):
            journey.fallback, journey.failure = not budget, None
            return
        if journey.failure is None:
            journey.failure = journey.last_failure or TierFailure(status=502, reason="no answer")

    def finish(self, journey: Journey, http_status: int) -> None:
        """Hand the record of a request to the observers after its response, or after its shadow if there is one."""
        draw = self._draw(journey, http_status)
        record = self._record(journey, http_status, draw)
        journey.span.end(record)
        if draw is not None and draw[0]:
            task = asyncio.create_task(self._shadow(journey, record))
            self.shadows.add(task)
            task.add_done_callback(self.shadows.discard)
        else:
            self._observe(record)

    def _record(self, journey: Journey, http_status: int, draw: tuple[bool, float] | None) -> ServedRecord:
        return record_of(
            journey,
            operating_point=self.file.sha256,
            http_status=http_status,
            unbound=self.options.unbound,
            keep_text=self.options.log_text,
            shadow=draw,
        )

    def _draw(self, journey: Journey, http_status: int) -> tuple[bool, float] | None:
        """Shadowing decision of a kept question; None: the last tier was asked, or there is no answer."""
        route = journey.route
        kept = route.reason is Reason.KEPT and journey.result is not None and len(route.point.chain) > 1
        if self.shadow is None or not kept or http_status != 200:
            return None
        return self.shadow.draw(journey.request.request_id)

    async def _shadow(self, journey: Journey, record: ServedRecord) -> None:
        """Ask the last tier a kept question in the background."""
        route = journey.route
        tier = self.tiers[route.point.chain[-1]]
        call = self._call(journey, tier.tier, time.monotonic() + self.options.deadline_s)
        span = journey.span.tier(tier.tier.tier)
        call.background, call.request_id, call.headers = True, f"{call.request_id}/shadow", span.headers
        started, error = time.perf_counter(), ""
        try:
            async with asyncio.timeout(self.options.deadline_s):
                completions = await tier.ask(call)
        except (TimeoutError, BudgetReached, TierFailure, asyncio.CancelledError) as failure:
            error = str(failure) if isinstance(failure, TierFailure) else f"not answered ({type(failure).__name__})"
            completions = [TierFailure(status=502, reason=error).completion(tier.tier.name)]
        answer = read_answer(tier.tier, route.question, completions)
        latency = time.perf_counter() - started
        served = served_answer(answer, latency_s=latency, error=error, keep_text=self.options.log_text)
        span.end(replace(served, text=None, answer=None))
        agrees = same_answer(_first(route), answer)
        self._observe(replace(record, tiers=(*record.tiers, served), shadow=True, agrees=agrees))

    def _observe(self, record: ServedRecord) -> None:
        if self.options.log_text:
            log.info("%s", record)
        for observer in self.observers:
            try:
                observer(record)
            except Exception as error:  # a full disk must not stop the answers; the message may hold text
                log.error("request %s: its record is lost (%s)", record.request_id, type(error).__name__)

    async def ready(self) -> dict[int, str]:
        """Tier -> why it cannot answer; "" if it can. Results are cached for serve.ready_s."""
        async with self.health_lock:
            if time.monotonic() - self.health_at > self.options.ready_s:
                numbers = sorted(self.tiers)
                found = await asyncio.gather(*(self.tiers[number].check() for number in numbers))
                self.health = dict(zip(numbers, found, strict=True))
                self.health_at = time.monotonic()
        return self.health

    async def close(self) -> None:
        """Cancel the shadows (their records are kept), and close the tiers and the ledger."""
        await asyncio.sleep(0)  # a task that has not begun would leave no record
        for task in list(self.shadows):
            task.cancel()
        await asyncio.gather(*self.shadows, return_exceptions=True)
        for tier in self.tiers.values():
            await tier.close()
        if self.ledger is not None:
            self.ledger.close()


def _first(route: Route) -> TierAnswer:
    return route.answers[min(route.answers)]
