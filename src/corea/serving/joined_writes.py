"""One write for the head of a response and the first part of its body, which uvicorn writes one after the other.

Each write is a system call, and the first of two wakes the client for a head that it cannot use alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD = b"HTTP/1."


class JoinedWrites:
    """A transport that keeps the head of a response until the next write, or else the next turn of the event loop."""

    def __init__(self, transport: asyncio.Transport):
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.head = b""
        self.late: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """As that of a transport."""
        if self.head:
            data = self._taken() + data
        elif data.startswith(HEAD):  # also a body that begins like this: it only waits for a turn
            self.head = data
            self.late = self.loop.call_soon(self._flush)
            return
        if data:
            self.transport.write(data)

    def close(self) -> None:
        """As that of a transport: what was written is sent first."""
        self._flush()
        self.transport.close()

    def _flush(self) -> None:
        if self.head:
            self.transport.write(self._taken())

    def _taken(self) -> bytes:
        head, self.head = self.head, b""
        if self.late is not None:
            self.late.cancel()
        return head

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class JoiningProtocol(AutoHTTPProtocol):
    """uvicorn's protocol over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(JoinedWrites(transport))
