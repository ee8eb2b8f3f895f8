"""The calls of one server: attempts, each between its reservation and its settlement in the ledger.

`OpenAIEngine.generate` makes them in batches, a live cascade one request at a time. `PaidCalls.persist` tries again
after a failure such as HTTP 429, for as long as attempts.py allows; a wait that the server asks for holds for every
call of the client, and each attempt is charged to the budget on its own.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from corea.config.engine_schema import OpenAIEngineConfig
from corea.engines.remote.attempts import Failure, answer_failure, status_failure, wait_s
from corea.engines.remote.chat_format import holds_answer
from corea.engines.remote.error_text import parsed
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.response_cache import ResponseCache, request_key
from corea.errors import UserError
from corea.types import Completion, Message

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SHARED_WAIT_S = 0.1
"""Seconds between two looks at a full budget."""
TRANSPORTS = ("httpx", "httpx2", "aiohttp")
"""Packages of the HTTP clients, whose errors show while a stream is read."""
NOT_SENT = frozenset(
    (
        *("ConnectError", "ConnectTimeout", "UnsupportedProtocol", "ClientProxyConnectionError"),
        *("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError"),
        *("ClientConnectorCertificateError", "NonHttpUrlClientError", "InvalidUrlClientError"),
    )
)
"""Errors of a connection that was never there."""
Exchange = Callable[[dict[str, Any]], Awaitable[tuple[dict[str, Any], float]]]
"""Request body -> (response that `holds_answer`, seconds); raises Failure."""


class ServedModel(Protocol):
    """What the calls need of an engine on a server."""

    cfg: OpenAIEngineConfig
    model_name: str
    ledger: Ledger
    cache: ResponseCache
    stopped: UserError | None

    def masked(self, text: str) -> str: ...
    def charge(self, usage: tuple[int, ...] | None, most: float, messages: Sequence[Message]) -> float: ...
    def charge_answer(self, response: dict[str, Any], most: float, messages: Sequence[Message]) -> float: ...
    def completion(self, response: dict[str, Any], latency_s: float, retries: Mapping[str, int]) -> Completion: ...


class PaidCalls:
    """Calls of a server through one client. A wait that the server asks for holds for all of them."""

    def __init__(self, engine: ServedModel, client: AsyncOpenAI | None):
        """`client`: with max_retries=0; it is not closed here. None: a subclass makes the calls."""
        self.engine, self.cfg, self.client = engine, engine.cfg, client
        self.settled = asyncio.Event()
        """Set when a call is settled, for those that wait for budget."""
        self.waiting = 0
        """Calls that wait for budget."""
        self.not_before = 0.0
        """Time before which no call starts."""

    async def persist(
        self,
        request: dict[str, Any],
        messages: Sequence[Message],
        most: float,
        *,
        key: str | None = None,
        exchange: Exchange | None = None,
        give_up_at: float = math.inf,
        patient: bool = True,
        tries: int | None = None,
    ) -> Completion:
        """Call until there is an answer, or no further attempt makes sense.

        Args:
            request: server, body and number of the sample.
            most: maximum dollars of one call.
            key: name of the request in the ledger; None: its hash.
            exchange: makes one call; None: the whole response at once.
            give_up_at: time.monotonic() after which no attempt starts.
            patient: wait for budget that other calls hold.
            tries: most attempts; None: cfg.tries.

        Raises:
            Failure: of the last attempt, with the number of attempts.
            BudgetReached: no call fits into the budget.
        """
        key = request_key(request) if key is None else key
        most_tries = tries or self.cfg.tries
        for attempt in range(1, most_tries + 1):
            hold = self.not_before - time.monotonic()
            if hold > 0 and self.not_before > give_up_at:
                raise Failure(reason="the server asked to wait", retry_after=hold, tries=attempt - 1)
            if hold > 0:
                await asyncio.sleep(hold)
            try:
                return await self._paid_call(request, messages, most, key, exchange or self.exchange, patient)
            except Failure as failure:
                failure.tries = attempt
                pause = wait_s(attempt, failure, self.cfg.max_wait_s)
                last = attempt == most_tries or not failure.again
                if pause is None or failure.hopeless or last or self.engine.stopped is not None:
                    raise
                if failure.retry_after is not None:
                    self.not_before = max(self.not_before, time.monotonic() + failure.retry_after)
                if time.monotonic() + pause > give_up_at:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _paid_call(
        self,
        request: dict[str, Any],
        messages: Sequence[Message],
        most: float,
        key: str,
        exchange: Exchange,
        patient: bool,
    ) -> Completion:
        """One call between its reservation and its settlement."""
        engine = self.engine
        ticket = await self._reserve(most, patient)
        lost = None
        spent = most  # also on cancellation: the server may finish the answer and charge for it
        try:
            response, latency = await exchange(request["body"])
            retries = engine.ledger.retries(key)
            engine.cache.put(request, response, latency, retries)
            spent = engine.charge_answer(response, most, messages)
            return engine.completion(response, latency, retries)
        except Failure as failure:
            lost = failure.usage and (failure.usage[0], failure.usage[2])
            spent = engine.charge(failure.usage, most if failure.charged else 0.0, messages)
            raise
        finally:
            engine.ledger.settle(ticket, spent, key, lost)
            if self.waiting:
                self.settled.set()

    async def _reserve(self, most: float, patient: bool) -> int:
        ledger = self.engine.ledger
        if (ticket := ledger.reserve(most)) is not None:
            return ticket
        self.waiting += 1
        try:
            while (ticket := ledger.reserve(most)) is None:
                if not ledger.open or not patient:
                    raise ledger.reached(most)
                self.settled.clear()
                with suppress(TimeoutError):  # an engine that shares the ledger wakes only its own calls
                    async with asyncio.timeout(SHARED_WAIT_S):
                        await self.settled.wait()
        finally:
            self.waiting -= 1
        return ticket

    async def exchange(self, body: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """One call for the whole response at once."""
        rest = {k: v for k, v in body.items() if k not in ("model", "messages")}
        started = time.perf_counter()
        assert self.client is not None, "without a client a subclass makes the calls"
        async with Failures(self.engine):
            raw = await self.client.chat.completions.with_raw_response.create(
                model=body["model"], messages=body["messages"], extra_body=rest
            )
            text = raw.content.decode(errors="replace")  # JSON is UTF-8, whatever the header says
        response = parsed(text)
        if not holds_answer(response):
            raise answer_failure(parsed(self.engine.masked(text)))
        return response, time.perf_counter() - started


class Failures:
    """Context of one call: limits it to cfg.timeout_s, and turns the client's errors into Failure."""

    def __init__(self, engine: ServedModel):
        self.engine = engine
        self.limit = engine.cfg.timeout_s

    async def __aenter__(self) -> Failures:
        # The client's own limit applies to each read, so a slow stream would pass it.
        self.timeout = asyncio.timeout(self.limit)
        await self.timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise self._late() from None
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise self._late() from None
        if "openai" in sys.modules:  # loading it takes a second, and without it no error is its own
            self._raise_openai(error)
        if isinstance(error, Exception) and type(error).__module__.partition(".")[0] in TRANSPORTS:
            raise connection_failure(error) from None

    def _raise_openai(self, error: BaseException) -> None:
        import openai

        if isinstance(error, openai.APIStatusError):
            body = parsed(self.engine.masked(error.response.text))
            raise status_failure(error.status_code, error.response.headers, body) from None
        if isinstance(error, openai.APITimeoutError):
            raise self._late() from None
        if isinstance(error, openai.APIConnectionError):
            raise connection_failure(error) from None
        if isinstance(error, openai.OpenAIError):
            raise Failure(reason=type(error).__name__, charged=True) from None

    def _late(self) -> Failure:
        return Failure(reason=f"no answer within {self.limit:g} s", charged=True, late=True)


def connection_failure(error: Exception) -> Failure:
    """The Failure of a connection. A refused connection costs nothing; a broken one may have."""
    cause = error.__cause__ or error
    never = not NOT_SENT.isdisjoint((type(error).__name__, type(cause).__name__))
    return Failure(reason=f"connection failed ({type(cause).__name__})", charged=not never)
