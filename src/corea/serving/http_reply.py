"""Requests and responses in ASGI: reading the body, headers, events, pings, and the end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from corea.serving.chat_replies import PING, change, chunk, event, header, json_bytes
from corea.serving.chat_requests import BadRequest
from corea.serving.journey import Journey
from corea.serving.tag_filter import TagFilter

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
DRAINED_BYTES = 64 * 2**20
"""Bytes of a refused body that are read, so that the client can read the refusal."""


class HungUp(Exception):
    """The client has closed the connection."""


class Reply:
    """One HTTP response: whole, or a stream that begins when it is needed."""

    def __init__(self, send: Send, request_id: str, operating_point: str):
        self.send, self.request_id = send, request_id
        self.base = [header("x-corea-request-id", request_id), header("x-corea-operating-point", operating_point)]
        self.begun = False
        """Status and headers of a stream are sent."""
        self.sent = False
        """Status and headers are sent."""
        self.quiet = False
        """Nothing was written since the last ping."""

    async def whole(
        self, status: int, body: Mapping[str, Any], headers: list[tuple[bytes, bytes]] | None = None
    ) -> None:
        """Send a JSON response."""
        self.sent = True
        data = json_bytes(body)
        known = dict(self.base) | dict(headers or ())
        known |= {b"content-type": b"application/json", b"content-length": str(len(data)).encode()}
        if status == 401:
            known[b"www-authenticate"] = b"Bearer"
        await self.send({"type": "http.response.start", "status": status, "headers": list(known.items())})
        await self.send({"type": "http.response.body", "body": data})

    async def begin(self, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send status and headers of a stream, unless that was done."""
        if self.begun:
            return
        self.begun = self.sent = True
        known = dict(self.base) | dict(headers or ())
        known |= {b"content-type": b"text/event-stream; charset=utf-8", b"cache-control": b"no-cache"}
        known[b"x-accel-buffering"] = b"no"
        await self.send({"type": "http.response.start", "status": 200, "headers": list(known.items())})

    async def write(self, data: bytes, last: bool = False) -> None:
        """Send a part of a stream; `last`: it ends with it."""
        await self.begin()
        self.quiet = False
        await self.send({"type": "http.response.body", "body": data, "more_body": not last})

    async def fail(self, status: int, body: Mapping[str, Any], headers: list | None = None) -> None:
        """Send an error: with its status, or as the last event of a stream that has begun."""
        if not self.begun:
            await self.whole(status, body, headers)
            return
        await self.write(event(body), last=True)

    async def ping_every(self, seconds: float) -> None:
        """Write a comment after every `seconds` without output."""
        while True:
            self.quiet = True
            await asyncio.sleep(seconds)
            if self.quiet:
                await self.write(PING)


class StreamSink:
    """Passes the last tier's answer on to the client as it arrives, without tags."""

    def __init__(self, journey: Journey, reply: Reply):
        self.journey, self.reply = journey, reply
        self.filters: dict[int, TagFilter] = {}
        self.roles: set[int] = set()
        self.begun = False

    @property
    def took_answer(self) -> bool:
        """Whether the answer that stands came through here."""
        return (
            bool(self.filters)
            and not self.journey.fallback
            and (self.journey.route.position == len(self.journey.route.point.chain) - 1)
        )

    def restart(self) -> None:
        """See Sink."""
        self.filters.clear()

    async def delta(self, index: int, delta: Mapping[str, Any]) -> None:
        """See Sink."""
        one = self.filters.setdefault(index, TagFilter(self.journey.request.tags))
        shown = dict(delta)
        if "content" in shown and (text := one.feed(shown.pop("content"))) != "":
            shown["content"] = text
        if shown:
            await self._write(index, shown)

    async def flush(self) -> None:
        """Send the text that was held back as a possible start of a tag."""
        for index, one in self.filters.items():
            rest = one.end()
            if rest or index not in self.roles:
                await self._write(index, {"content": rest})

    async def _write(self, index: int, shown: dict[str, Any]) -> None:
        self.begun = True
        first = {} if index in self.roles else {"role": "assistant"}
        self.roles.add(index)
        await self.reply.write(chunk(self.journey, [change(index, first | shown)]))


async def read_body(receive: Receive, most: int) -> bytes:
    """The body of a request. Raises BadRequest if it is larger than `most` bytes, HungUp."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
        else:
            parts.clear()
        if not message.get("more_body", False) or size > DRAINED_BYTES:
            break
    if size > most:
        raise BadRequest(f"the body is larger than {most} bytes", code="request_too_large")
    return b"".join(parts)


async def hang_up(receive: Receive) -> None:
    """Return when the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """The header Retry-After: whole seconds, at least one."""
    return header("retry-after", max(1, int(-(-seconds // 1))))
