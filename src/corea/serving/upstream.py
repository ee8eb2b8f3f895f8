"""A tier behind a server with OpenAI's chat completions: attempts, budget and streaming."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from corea.collecting.confidence_signals import note
from corea.collecting.plan import Tier
from corea.engines.remote.attempts import Failure
from corea.engines.remote.chat_format import PER_PROMPT
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.errors import UserError
from corea.prices import cost_usd
from corea.serving.streamed_answer import stream_exchange
from corea.serving.tier_calls import HEALTH_TIMEOUT_S, Sink, TierCall, TierFailure, health_call
from corea.serving.upstream_client import ServerCalls, UpstreamClient
from corea.types import Completion

log = logging.getLogger(__name__)

PART_TOKENS = 20_000
"""Bound of the tokens of a part of a message that is not text, such as an image."""
BUSY = frozenset({429, 503, 529})
"""Statuses of a server that answers later."""
OF_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses that blame the request."""
LOGPROB_SIGNALS = frozenset({"avg_prob", "expected"})
"""Signals that need the log-probabilities of the tokens."""
OURS = frozenset({"model", "messages", "stream", "stream_options", "corea", "max_tokens", "max_completion_tokens"})
"""Fields of a client's request that are not passed on as they are."""


class UpstreamTier:
    """Answers through the client that all tiers share."""

    takes_fields = True

    def __init__(
        self,
        tier: Tier,
        engine: OpenAIEngine,
        client: UpstreamClient,
        *,
        concurrency: int,
        queue_size: int,
        fresh_s: float,
    ):
        """
        Args:
            engine: with the shared ledger and without a cache; it makes no calls itself.
            concurrency: simultaneous calls.
            queue_size: calls that may wait.
            fresh_s: seconds for which an answer shows that the server is alive.
        """
        self.tier, self.engine = tier, engine
        self.calls = ServerCalls(engine, client)
        self.room = asyncio.Semaphore(concurrency)
        self.queue_size = queue_size
        self.depth = 0
        """Requests that wait for room."""
        self.answered_at = -math.inf
        self.failed_at = -math.inf
        self.fresh_s = fresh_s

    async def ask(self, call: TierCall, sink: Sink | None = None) -> list[Completion]:
        """See LiveTier."""
        streamed = sink if call.sampling.n == 1 or call.fields is not None else None
        samples = 1 if call.fields is not None else call.sampling.n
        if samples == 1:  # needs no separate task
            found = [await self._sample(call, 0, streamed)]
        else:
            found = await asyncio.gather(*(self._sample(call, sample, streamed) for sample in range(samples)))
        if isinstance(found[0], TierFailure):
            raise found[0]
        completions = [f.completion(self.tier.name) if isinstance(f, TierFailure) else f for f in found]
        for completion in completions:
            if "tail" not in completion.extra:  # missing confidences, so the question is deferred
                completion.extra |= {f"confidence_{name}": None for name in LOGPROB_SIGNALS & set(self.tier.signals)}
        note(self.tier, completions)
        return completions

    async def require_logprobs(self) -> None:
        """Ask the server once whether it gives log-probabilities, if a signal needs them.

        Raises:
            UserError: its answer holds none.
        """
        if not LOGPROB_SIGNALS & set(self.tier.signals):
            return
        found = await self._sample(health_call(self.tier), 0, None, tries=1)
        if isinstance(found, TierFailure):
            log.warning("tier %d: %s; whether it gives log-probabilities is not known", self.tier.tier, found.reason)
        elif not found.logprobs:
            signal = min(LOGPROB_SIGNALS & set(self.tier.signals))
            raise UserError(
                f"tier {self.tier.tier} ({self.tier.name}): the signal {signal} cannot be had live: the answers of "
                f"{self.engine.cfg.base_url} hold no log-probabilities"
            )

    async def check(self) -> str:
        """See LiveTier."""
        if time.monotonic() - self.answered_at < self.fresh_s and self.answered_at > self.failed_at:
            return ""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                found = await self._sample(health_call(self.tier), 0, None, tries=1)
        except TimeoutError:
            return f"no answer within {HEALTH_TIMEOUT_S:g} s"
        except Exception as error:  # the budget is reached
            return f"it is not asked ({type(error).__name__})"
        if isinstance(found, TierFailure) and found.code != "bad_request":
            return found.reason
        return ""

    async def close(self) -> None:
        """The client is closed by its owner."""

    async def _sample(
        self, call: TierCall, sample: int, sink: Sink | None, tries: int | None = None
    ) -> Completion | TierFailure:
        if self.room.locked() and self.depth >= self.queue_size:
            return TierFailure(
                status=429, reason=f"too many requests wait for {self.tier.name}", retry_after=1.0, code="queue_full"
            )
        self.depth += 1
        try:
            await self.room.acquire()
        finally:
            self.depth -= 1
        try:
            return await self._call(call, sample, sink, tries)
        finally:
            self.room.release()

    async def _call(
        self, call: TierCall, sample: int, sink: Sink | None, tries: int | None
    ) -> Completion | TierFailure:
        key = f"{call.request_id}/{self.tier.tier}/{sample}"
        counted = call.messages
        if call.fields is not None:  # what is not text counts by its JSON
            counted = [{"role": "user", "content": json.dumps(call.fields["messages"])}]
        request = self.engine.request(call.messages, call.sampling, sample)
        request["body"] = body = {**request["body"], **self._fields(call)}
        responses: list[dict[str, Any]] = []

        async def exchange(body: dict[str, Any]) -> tuple[dict[str, Any], float]:
            if sink is None:
                pair = await self.calls.exchange(body, call.headers)
            else:
                pair = await stream_exchange(self.calls, body, sink, call.headers)
            responses.append(pair[0])
            return pair

        most = self._most_usd(call, body)
        try:
            completion = await self.calls.persist(
                request,
                counted,
                most,
                key=key,
                exchange=exchange,
                give_up_at=call.give_up_at,
                patient=not call.background,
                tries=tries,
            )
        except Failure as failure:
            self.failed_at = time.monotonic()
            return self._failure(failure, self.engine.ledger.retries(key), call)
        finally:
            self.engine.ledger.forget(key)
        self.answered_at = time.monotonic()
        if call.fields is not None:
            call.choices = responses[-1]["choices"]
            _accept_tool_calls(completion, call.choices)
        elif completion.finish_reason == "error":
            completion.error = "the server ended the answer without a text"
        return completion

    def _fields(self, call: TierCall) -> dict[str, Any]:
        """Fields of the request besides those of the calibrated one."""
        if call.fields is None:
            return {}
        given = {k: v for k, v in call.fields.items() if k not in OURS and v is not None}
        return {**given, "messages": call.fields["messages"], **self.engine.cfg.extra}

    def _most_usd(self, call: TierCall, body: Mapping[str, Any]) -> float:
        """Maximum dollars of one call; 0 if prices are unknown."""
        if call.fields is None:
            return self.engine.most_usd(call.messages, call.sampling)
        given = json.dumps([body.get(k) for k in ("messages", "tools", "functions", "response_format")])
        parts = given.count('"type":') * PART_TOKENS if any(w in given for w in ("image", "audio", "file")) else 0
        prompt = int((PER_PROMPT + len(given) + parts) * self.engine.most_prompt)
        return cost_usd(self.engine.price, prompt, 0, call.sampling.max_tokens * int(body.get("n") or 1)) or 0.0

    def _failure(self, failure: Failure, retries: Mapping[str, int], call: TierCall) -> TierFailure:
        """What a failed call means to the client. What the server says may hold the question, so it is left out."""
        status, code = 502, "tier_failed"
        if call.fields is not None and failure.status in OF_THE_REQUEST:
            status, code = 400, "bad_request"
        elif call.request_id == "health" and failure.status in OF_THE_REQUEST:
            code = "bad_request"
        elif failure.late:
            status = 504
        elif failure.status in BUSY or failure.retry_after is not None or failure.reason.startswith("connection"):
            status = 503
        return TierFailure(
            status=status,
            reason=f"{self.tier.name}: {failure.reason.partition(':')[0]} (after {failure.tries} tries)",
            retry_after=failure.retry_after,
            code=code,
            extra=retries,
        )


def _accept_tool_calls(completion: Completion, choices: list[dict[str, Any]]) -> None:
    """An answer without text that calls a tool is one."""
    message = choices[0].get("message") or {}
    if completion.finish_reason == "error" and (message.get("tool_calls") or message.get("function_call")):
        completion.finish_reason, completion.error = "stop", ""
