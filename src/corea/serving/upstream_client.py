"""The HTTP client of all servers behind a live cascade: one session, whose connections all tiers share.

It speaks the same protocol as the openai client, which spends most of a request's processor time in front of a fast
server (docs/serving.md, Benchmarks), and makes one attempt per call: retries are those of PaidCalls.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

import corea
from corea.engines.remote.attempts import answer_failure, status_failure
from corea.engines.remote.chat_format import holds_answer
from corea.engines.remote.error_text import parsed
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.engines.remote.paid_calls import Failures, PaidCalls
from corea.errors import UserError

KEEP_ALIVE_S = 4.0
"""Seconds for which an idle connection is kept: less than servers wait, so that few close while a call is sent."""
ACCOUNT = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
"""Environment variables that the openai client sends as headers too."""


def open_client() -> aiohttp.ClientSession:
    """The session, to be closed by its owner. Needs a running event loop."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=_trusted()),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the limits are those of the tiers
        cookie_jar=aiohttp.DummyCookieJar(),
    )


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


class ServerCalls(PaidCalls):
    """The calls of one server through the shared session."""

    def __init__(self, engine: OpenAIEngine, session: aiohttp.ClientSession):
        super().__init__(engine, None)
        self.session = session
        address = f"{engine.cfg.base_url.rstrip('/')}/chat/completions"
        self.url, self.proxy = URL(address), proxy_of(address)
        self.headers = {
            "Authorization": f"Bearer {engine.key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"corea/{corea.__version__}",
            **{name: os.environ[variable] for variable, name in ACCOUNT.items() if os.environ.get(variable)},
        }

    @asynccontextmanager
    async def post(
        self, body: Mapping[str, Any], headers: Mapping[str, str] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to `body`, whose body is not read yet. Raises Failure."""
        data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        sent = {**self.headers, **headers} if headers else self.headers
        async with (
            Failures(self.engine),
            self.session.post(self.url, data=data, headers=sent, proxy=self.proxy) as response,
        ):
            if not 200 <= response.status < 300:
                text = (await response.read()).decode(errors="replace")
                raise status_failure(response.status, response.headers, parsed(self.engine.masked(text)))
            yield response

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


async def lines_of(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The lines of a body as it arrives, without line ends."""
    rest = b""
    async for data in response.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


async def read_on(response: aiohttp.ClientResponse, seconds: float) -> None:
    """Read to the end, so that the connection can be used again, unless that takes longer than `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await response.read()
