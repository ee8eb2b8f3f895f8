"""Open connections to one server, and the requests on them.

    connections = Connections("api.example", 443, context)
    response = await connections.send(request, seconds=60)
    try:
        await response.head()
        data = await response.read()        or: while data := await response.piece()
    finally:
        response.release()

The time that a live cascade adds to a call is processor time, and a general client such as aiohttp takes about 0.3 ms
more of it per call (`python benchmarks/serving.py added`). Proxies and redirects are left to it (upstream_client.py).
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from aiohappyeyeballs import start_connection

from corea.serving.http_response import Connection, broken, late

KEEP_ALIVE_S = 4.0
"""Seconds for which an idle connection is kept: less than servers wait, so that few close while a call is sent."""
NEXT_ADDRESS_S = 0.25
"""Seconds after which the next address of a host is tried too (RFC 8305)."""


class Connections:
    """The connections to one server. They need a running event loop."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None = None):
        """`context`: of HTTPS; None: HTTP."""
        self.host, self.port, self.context = host, port, context
        self.loop = asyncio.get_running_loop()
        self.idle: list[Connection] = []
        self.sweeper: asyncio.TimerHandle | None = None

    async def send(self, request: bytes, seconds: float) -> Connection:
        """Send a request, and return the connection that its response comes on.

        Args:
            request: as it goes over the wire.
            seconds: in which the response must be read to its end, the time of a new connection included.

        Raises:
            Failure: there is no connection.
        """
        until = self.loop.time() + seconds
        connection = self._kept() or await self._open(seconds)
        connection.begin(request, until, seconds)
        return connection

    def put_back(self, connection: Connection) -> None:
        """Keep a connection for another request."""
        connection.idle_since = self.loop.time()
        self.idle.append(connection)
        if self.sweeper is None:
            self.sweeper = self.loop.call_later(KEEP_ALIVE_S, self._sweep)

    async def close(self) -> None:
        """Close the idle connections; those in use are closed by who uses them."""
        if self.sweeper is not None:
            self.sweeper.cancel()
        for connection in self.idle:
            connection.transport.close()
        self.idle.clear()
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    def _kept(self) -> Connection | None:
        """The connection that was used last, since the server has waited least for it; None: none is usable."""
        while self.idle:
            found = self.idle.pop()
            if not found.transport.is_closing() and self.loop.time() - found.idle_since < KEEP_ALIVE_S:
                return found
            found.transport.close()
        return None

    def _sweep(self) -> None:
        """Close what was idle for too long."""
        self.sweeper = None
        kept, now = [], self.loop.time()
        for connection in self.idle:
            if connection.transport.is_closing() or now - connection.idle_since >= KEEP_ALIVE_S:
                connection.transport.close()
            else:
                kept.append(connection)
        self.idle = kept
        if kept:
            self.sweeper = self.loop.call_at(kept[0].idle_since + KEEP_ALIVE_S, self._sweep)

    async def _open(self, seconds: float) -> Connection:
        try:
            async with asyncio.timeout(seconds):
                found = await self.loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
                sock = await start_connection(found, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=self.loop)
                name = None if self.context is None else self.host
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self.put_back), sock=sock, ssl=self.context, server_hostname=name
                )
                return connection
        except (OSError, ValueError, OverflowError) as error:  # also a name or a port that cannot be
            if isinstance(error, TimeoutError) and error.errno is None:  # else the network's own limit
                raise late(seconds, charged=False) from None
            raise broken(error, charged=False) from None
