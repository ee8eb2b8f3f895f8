"""A connection to a server: HTTP/1.1, one request at a time. httptools, which uvicorn uses too, reads the responses.

http_connections.py opens connections and keeps them between requests.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, cast

import httptools

from corea.engines.remote.attempts import Failure

MOST_HEAD = 2**16
"""Bytes of the head of a response."""
MOST_BODY = 2**28
"""Bytes of a response that is read as a whole."""
MOST_WAITING = 2**18
"""Bytes of a response that wait to be read before the server is made to wait."""
AUTO_WINDOW = 47
"""zlib.decompressobj: the header, of gzip or of zlib, says how."""
COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})
HEAD, PIECE, END = 1, 2, 3
"""What of a response is waited for."""


class Connection(asyncio.Protocol):
    """A connection, and the response to its current request."""

    transport: asyncio.Transport

    def __init__(self, put_back: Callable[[Connection], None]):
        """`put_back`: takes the connection when it can be used for another request."""
        self.put_back, self.loop = put_back, asyncio.get_running_loop()
        self.parser = httptools.HttpResponseParser(self)
        self.idle_since = 0.0
        self.busy = self.paused = False
        self.waiter: asyncio.Future[None] | None = None
        self.awaited = HEAD
        self._clear()

    def _clear(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        """Names in lower case."""
        self.parts: list[bytes] = []
        """Of the body, not read yet."""
        self.waiting = 0
        """Bytes in `parts`."""
        self.reached = 0
        """HEAD or END: how far the response has arrived."""
        self.failure: Failure | None = None
        self.unparsed = 0
        """Bytes since the last part of the body."""
        self.reusable = True
        self.decoder: Any = None

    # The request.

    def begin(self, request: bytes, until: float, seconds: float) -> None:
        """Send a request whose response must end `until`, by the loop's clock, which is after `seconds`."""
        self._clear()
        self.busy = True
        self.timer = self.loop.call_at(until, self._end_late, seconds)
        self.transport.write(request)

    async def head(self) -> None:
        """Wait for `status` and `headers`. Raises Failure."""
        if not self.reached and self.failure is None:
            await self._wait(HEAD)
        if not self.reached and self.failure is not None:
            raise self.failure

    async def piece(self) -> bytes:
        """What has arrived of the body, once there is any; b"" at its end. Raises Failure."""
        if not self.parts and self.reached < END and self.failure is None:
            await self._wait(PIECE)
        if self.parts:
            data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            self.parts.clear()
            self.waiting = 0
            if self.paused and not self.transport.is_closing():
                self.paused = False
                self.transport.resume_reading()
            return data
        if self.reached < END and self.failure is not None:
            raise self.failure
        return b""

    async def read(self) -> bytes:
        """The whole body, or what is left of it. Raises Failure."""
        parts, size = [], 0
        while data := await self.piece():
            parts.append(data)
            size += len(data)
            if size > MOST_BODY:
                raise Failure(reason=f"a response of more than {MOST_BODY} bytes", again=False, charged=True)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def release(self) -> None:
        """End the use of the connection: it is kept if the response has arrived to its end, else closed at once."""
        self.timer.cancel()
        self.busy = False
        if self.reached < END or self.failure is not None:
            self.transport.abort()
        elif self.reusable and not self.paused and not self.transport.is_closing():
            self.put_back(self)
        else:
            self.transport.close()

    async def _wait(self, awaited: int) -> None:
        self.awaited, self.waiter = awaited, self.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def _wake(self, reached: int) -> None:
        if self.waiter is not None and reached >= self.awaited and not self.waiter.done():
            self.waiter.set_result(None)

    def _fail(self, failure: Failure) -> None:
        """End the response with a failure, unless it has ended."""
        if self.busy and self.failure is None and self.reached < END:
            self.failure = failure
            self.transport.abort()
            self._wake(END)

    def _end_late(self, seconds: float) -> None:
        self._fail(late(seconds, charged=True))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self.transport = cast(asyncio.Transport, transport)  # that of uvloop is no subclass

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self.busy or self.failure is not None:  # nothing was asked
            self.transport.abort()
            return
        self.unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.reusable = False
            self._fail(broken(error))
            return
        if self.unparsed > MOST_HEAD:
            self._fail(Failure(reason=f"a response whose head has more than {MOST_HEAD} bytes", charged=True))

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self.busy:
            return
        framed = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        if error is None and self.reached == HEAD and not framed:  # the end of the connection is that of the body
            self.on_message_complete()
        self._fail(broken(error or ConnectionResetError()))

    # httptools.HttpResponseParser

    def on_message_begin(self) -> None:
        """A response begins; a second one was not asked for."""
        if self.reached == END:
            self.reusable = False
        else:
            self.headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer after the body."""
        if self.reached < HEAD:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head has arrived."""
        status = self.parser.get_status_code()
        if self.reached or status < 200:  # an interim response
            return
        self.unparsed = 0
        self.status, self.reached = status, HEAD
        encoding = self.headers.get("content-encoding")
        if encoding is not None and encoding.strip().lower() not in ("", "identity"):
            if encoding.strip().lower() in COMPRESSED:
                self.decoder = zlib.decompressobj(AUTO_WINDOW)
            else:
                self._fail(Failure(reason="a response in an encoding that was not asked for", charged=True))
        self._wake(HEAD)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self.unparsed = 0
        if self.reached != HEAD or self.failure is not None:
            return
        if self.decoder is not None:
            try:
                data = self.decoder.decompress(data)
            except zlib.error as error:
                self._fail(broken(error))
                return
            if not data:
                return
        self.parts.append(data)
        self.waiting += len(data)
        if self.waiting > MOST_WAITING and not self.paused:
            self.paused = True
            self.transport.pause_reading()
        self._wake(PIECE)

    def on_message_complete(self) -> None:
        """The response has ended."""
        if self.reached != HEAD or self.failure is not None:  # an interim response
            return
        self.reached = END
        self.reusable = self.reusable and self.parser.should_keep_alive()
        self._wake(END)


def late(seconds: float, *, charged: bool) -> Failure:
    return Failure(reason=f"no answer within {seconds:g} s", charged=charged, late=True)


def broken(error: Exception, *, charged: bool = True) -> Failure:
    """The Failure of a connection; one that was never there costs nothing."""
    return Failure(reason=f"connection failed ({type(error).__name__})", charged=charged)
