"""The HTTP client of all servers behind a live cascade, whose connections all tiers share.

It speaks the same protocol as the openai client, which spends most of a request's processor time in front of a fast
server (docs/serving.md, Benchmarks), and makes one attempt per call: retries are those of PaidCalls. Calls go over
connections of http_connections.py; aiohttp makes those through a proxy, and those that a server redirects.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

import corea
from corea.engines.remote.attempts import Failure, answer_failure, status_failure
from corea.engines.remote.chat_format import holds_answer
from corea.engines.remote.error_text import parsed
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.engines.remote.paid_calls import Failures, PaidCalls
from corea.errors import UserError
from corea.serving.http_connections import KEEP_ALIVE_S, Connections
from corea.serving.http_response import Connection

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

ACCOUNT = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
"""Environment variables that the openai client sends as headers too."""
REDIRECTS = frozenset({307, 308})
"""Statuses that ask for the same request elsewhere."""


class UpstreamClient:
    """What all servers share: the connections to each, and a library's session for what those cannot do."""

    def __init__(self) -> None:
        self.context = _trusted()
        self.connections: dict[tuple[str, int, bool], Connections] = {}
        self.library: ClientSession | None = None

    def connections_to(self, url: URL) -> Connections:
        """The connections to the server of an address."""
        secure = url.scheme == "https"
        key = (url.raw_host or "", url.port or 0, secure)
        if key not in self.connections:
            self.connections[key] = Connections(key[0], key[1], self.context if secure else None)
        return self.connections[key]

    def session(self) -> ClientSession:
        """The session of aiohttp, which is loaded when it is needed."""
        if self.library is None:
            import aiohttp

            self.library = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=self.context),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the limits are those of the tiers
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self.library

    async def close(self) -> None:
        """Close what is idle."""
        for connections in self.connections.values():
            await connections.close()
        if self.library is not None:
            await self.library.close()


@asynccontextmanager
async def open_client() -> AsyncIterator[UpstreamClient]:
    """The client of all servers. Needs a running event loop."""
    client = UpstreamClient()
    try:
        yield client
    finally:
        await client.close()


def _trusted() -> ssl.SSLContext:
    """The certificate authorities that the openai client trusts: of SSL_CERT_FILE or SSL_CERT_DIR where one is set.

    Otherwise those of the machine, and of certifi where it is installed.

    Raises:
        UserError: the file cannot be read.
    """
    given = {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)}
    for name, value in given.items():
        try:
            is_file = name == "SSL_CERT_FILE"
            return ssl.create_default_context(cafile=value if is_file else None, capath=None if is_file else value)
        except OSError as error:  # an SSLError is one
            raise UserError(f"{name}={value}: holds no certificate that can be read ({error.strerror})") from error
    context = ssl.create_default_context()
    with suppress(ImportError):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


class Response(Protocol):
    """A response whose head has arrived."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    async def piece(self) -> bytes: ...
    async def read(self) -> bytes: ...


class ServerCalls(PaidCalls):
    """The calls of one server through the shared client."""

    def __init__(self, engine: OpenAIEngine, client: UpstreamClient):
        super().__init__(engine, None)
        self.shared = client
        address = f"{engine.cfg.base_url.rstrip('/')}/chat/completions"
        self.url, self.proxy = URL(address), proxy_of(address)
        self.direct = None if self.proxy else client.connections_to(self.url)
        """None: the library makes the calls."""
        self.headers = {
            "Authorization": f"Bearer {engine.key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"corea/{corea.__version__}",
            **{name: os.environ[variable] for variable, name in ACCOUNT.items() if os.environ.get(variable)},
        }
        self.request_head = _head(self.url, self.headers)

    def post(self, body: Mapping[str, Any], headers: Mapping[str, str] | None) -> AbstractAsyncContextManager[Response]:
        """The response to `body`, whose body is not read yet. Raises Failure."""
        data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        return _Call(self, data, headers or {})

    @asynccontextmanager
    async def through_library(self, data: bytes, headers: Mapping[str, str]) -> AsyncIterator[Response]:
        """One call through the proxy, or to where the server redirects it."""
        sent = {**self.headers, **headers}
        async with (
            Failures(self.engine),
            self.shared.session().post(self.url, data=data, headers=sent, proxy=self.proxy) as response,
        ):
            yield _LibraryResponse(response)

    async def exchange(
        self, body: dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], float]:
        """One call for the whole response at once. `headers`: further ones. Raises Failure."""
        started = time.perf_counter()
        async with self.post(body, headers) as response:
            text = (await response.read()).decode(errors="replace")  # JSON is UTF-8, whatever the header says
        found = parsed(text)
        if not holds_answer(found):
            raise answer_failure(parsed(self.engine.masked(text)))
        return found, time.perf_counter() - started


class _Call:
    """Context of one call: its response, if the status says that there is an answer. Raises Failure."""

    def __init__(self, calls: ServerCalls, data: bytes, headers: Mapping[str, str]):
        self.calls, self.data, self.headers = calls, data, headers
        self.connection: Connection | None = None
        self.library: AbstractAsyncContextManager[Response] | None = None

    async def __aenter__(self) -> Response:
        calls = self.calls
        try:
            response = None if calls.direct is None else await self._ask(calls.direct)
            if response is None:
                library = calls.through_library(self.data, self.headers)
                response = await library.__aenter__()
                self.library = library
            if not 200 <= response.status < 300:
                text = (await response.read()).decode(errors="replace")
                raise status_failure(response.status, response.headers, parsed(calls.engine.masked(text)))
            return response
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise

    async def _ask(self, direct: Connections) -> Response | None:
        """The response; None: the server redirects its calls."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()) if self.headers else ""
        end = f"{more}Content-Length: {len(self.data)}\r\n\r\n".encode("latin-1")
        request = b"".join((self.calls.request_head, end, self.data))
        self.connection = await direct.send(request, self.calls.cfg.timeout_s)
        await self.connection.head()
        if self.connection.status not in REDIRECTS:
            return self.connection
        self.calls.direct = None
        self.connection.release()
        self.connection = None
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.connection is not None:
            self.connection.release()
            self.connection = None
        if self.library is not None:
            library, self.library = self.library, None
            await library.__aexit__(kind, error, traceback)


class _LibraryResponse:
    """A response of aiohttp."""

    def __init__(self, response: ClientResponse):
        self.response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    async def piece(self) -> bytes:
        return await self.response.content.readany()

    async def read(self) -> bytes:
        return await self.response.read()


def _head(url: URL, headers: Mapping[str, str]) -> bytes:
    """The head of a request without its length and its end.

    Raises:
        UserError: a header cannot be sent.
    """
    host = url.raw_host or ""
    host = f"[{host}]" if ":" in host else host
    lines = {"Host": host if url.is_default_port() else f"{host}:{url.port}", **headers}
    for name, value in lines.items():
        if any(ord(c) < 32 or ord(c) > 255 for c in value):
            raise UserError(f"header {name} for {url.origin()}: holds characters that cannot be sent")
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {url.raw_path_qs} HTTP/1.1\r\n{text}".encode("latin-1")


def proxy_of(address: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name for an address; None: there is none.

    Raises:
        UserError: it is not reached by HTTP.
    """
    parts = urlsplit(address)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if proxy_bypass(parts.hostname) or proxy_bypass(f"{host}:{port}"):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        name = f"{parts.scheme.upper()}_PROXY" if proxies.get(parts.scheme) else "ALL_PROXY"
        raise UserError(f"{name}: a proxy of the kind {scheme}:// is not supported; allowed are http:// and https://")
    return proxy


async def lines_of(response: Response) -> AsyncIterator[bytes]:
    """The lines of a body as it arrives, without line ends."""
    rest = b""
    while data := await response.piece():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


async def read_on(response: Response, seconds: float) -> None:
    """Read to the end, so that the connection can be used again, unless that takes longer than `seconds`."""
    with suppress(TimeoutError, Failure):  # the answer is already there
        async with asyncio.timeout(seconds):
            await response.read()
