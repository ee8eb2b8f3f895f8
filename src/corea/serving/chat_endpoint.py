"""POST /v1/chat/completions as plain ASGI, which sees when a client hangs up.

A response begins with its first byte of an answer or its first ping. Until then, a failure has a status of its own;
after it, a failure is an event with an error, and no [DONE] follows.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from corea.serving.access import AccessControl
from corea.serving.chat_replies import (
    change,
    choices,
    chunk,
    completion_body,
    error_body,
    last_chunks,
    provenance,
    provenance_headers,
)
from corea.serving.chat_requests import BadRequest, ChatRequest, read_json, read_request
from corea.serving.http_reply import HungUp, Receive, Reply, Send, StreamSink, hang_up, read_body, retry_after
from corea.serving.journey import Journey
from corea.serving.live_service import CascadeService

log = logging.getLogger(__name__)

HUNG_UP = 499
"""Status in records of a client that hung up."""
LAST_WRITE_S = 0.5
"""Seconds for the end of a stream whose client reads slowly."""


class ChatEndpoint:
    """Answers chat completions with a service."""

    def __init__(self, service: CascadeService, access: AccessControl):
        self.service, self.access = service, access

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        reply = Reply(send, uuid.uuid4().hex, self.service.file.sha256)
        try:
            await self._handle(scope, receive, reply)
        except Exception:  # a bug: the client gets an error, the server's log the rest
            if not reply.sent:
                await reply.whole(500, error_body(500, "internal error", code="internal_error"))
            raise

    async def _handle(self, scope: Mapping[str, Any], receive: Receive, reply: Reply) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            holder = self.access.holder(headers.get("authorization"))
            if holder is None:
                raise BadRequest("an API key is needed: Authorization: Bearer KEY", code="invalid_api_key", status=401)
            request = await self._read(headers, receive, reply.request_id)
        except BadRequest as refusal:
            body = error_body(refusal.status, refusal.message, code=refusal.code, param=refusal.param)
            self.service.refused(refusal.status)
            await reply.whole(refusal.status, body)
            return
        except HungUp:
            return
        estimate = request.chars // 4 + max(t.max_tokens for t in self.service.catalogue.tiers.values())
        wait = self.access.enter(holder, estimate)
        if wait > 0:
            body = error_body(429, "the limit per minute of this key is reached", code="rate_limit_exceeded")
            self.service.refused(429)
            await reply.whole(429, body, [retry_after(wait)])
            return
        journey = self.service.begin(request, headers)
        status = HUNG_UP
        try:
            status = await self._answer(journey, reply, receive)
        finally:
            counts = journey.tokens() or {}
            used = counts.get("prompt_tokens", estimate) + counts.get("completion_tokens", 0)
            self.access.settle(holder, estimate, used)
            self.service.finish(journey, status)

    async def _read(self, headers: Mapping[str, str], receive: Receive, request_id: str) -> ChatRequest:
        """The checked request. Raises BadRequest and HungUp."""
        options = self.service.options
        try:
            async with asyncio.timeout(options.deadline_s):
                body = await read_body(receive, options.max_body_bytes)
        except TimeoutError:
            raise BadRequest("the body did not arrive in time", code="timeout", status=408) from None
        takes_fields = lambda number: self.service.tiers[number].takes_fields  # noqa: E731
        tags = headers.get("x-corea-tags", "").strip().lower() == "true"
        return read_request(read_json(body), self.service.catalogue, request_id, tags, takes_fields)

    async def _answer(self, journey: Journey, reply: Reply, receive: Receive) -> int:
        """Answer, and stop all calls within the same moment if the client hangs up; returns the status."""
        work, hung_up = asyncio.current_task(), False
        assert work is not None

        def stop(ended: asyncio.Task[None]) -> None:
            nonlocal hung_up
            if not ended.cancelled():
                hung_up = True
                work.cancel()

        listen = asyncio.create_task(hang_up(receive))
        listen.add_done_callback(stop)
        try:
            return await self._respond(journey, reply)
        except asyncio.CancelledError:
            if hung_up and work.uncancel() == 0:
                return HUNG_UP
            raise  # the server stops
        finally:
            listen.remove_done_callback(stop)
            listen.cancel()

    async def _respond(self, journey: Journey, reply: Reply) -> int:
        service, request = self.service, journey.request
        try:
            if not request.stream:
                await service.answer(journey)
            else:
                sink = StreamSink(journey, reply)
                pings = asyncio.create_task(reply.ping_every(service.options.ping_s))
                try:
                    await service.answer(journey, sink)
                finally:
                    pings.cancel()
        except Exception as error:  # a bug: the client gets an error, the log its kind and place but no text
            place = "".join(traceback.format_tb(error.__traceback__))
            log.error("request %s failed: %s\n%s", request.request_id, type(error).__name__, place)
            body = error_body(500, "internal error", code="internal_error")
            await reply.fail(500, body)
            return 500
        corea = provenance(journey, service.file.sha256, service.options.unbound)
        if journey.failure is not None:
            failure = journey.failure
            extra = [] if failure.retry_after is None else [retry_after(failure.retry_after)]
            body = error_body(failure.status, failure.reason, code=failure.code, corea=corea)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITE_S):
                    await reply.fail(failure.status, body, [*provenance_headers(corea), *extra])
            return failure.status
        if request.stream:
            await self._end_stream(journey, reply, sink, corea)
        else:
            await reply.whole(200, completion_body(journey, corea), provenance_headers(corea))
        return 200

    async def _end_stream(self, journey: Journey, reply: Reply, sink: StreamSink, corea: Mapping[str, Any]) -> None:
        """Send the rest of the answer: all of it, if a threshold decided on it."""
        parts = []
        if not sink.took_answer:
            await reply.begin(provenance_headers(corea))
            for choice in choices(journey):
                delta = {"role": "assistant", "content": choice["message"]["content"] or ""}
                parts.append(chunk(journey, [change(choice["index"], delta)]))
        else:
            await sink.flush()
        await reply.write(b"".join([*parts, *last_chunks(journey, corea)]), last=True)
