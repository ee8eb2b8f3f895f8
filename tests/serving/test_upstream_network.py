"""Calls of servers use the proxy and trust the certificates that the environment names, like the openai client.

All servers are real and local: a TLS server with a certificate of an authority of its own, and a proxy.
"""

import asyncio
import base64
import json
import ssl
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from serve_helpers import server_tier

from corea.engines.remote.attempts import Failure
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.errors import UserError
from corea.serving.upstream_client import ServerCalls, open_client, proxy_of

pytestmark = pytest.mark.slow  # servers that really run, with TLS and proxies

ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "7"}, "finish_reason": "stop"}]}
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Folder with ca.pem, and with server.pem and server.key of 127.0.0.1 and localhost, which it has signed."""
    folder = tmp_path_factory.mktemp("authority")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    ca = [*new, "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"]
    server = [*new, "-x509", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.pem"]
    server += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    server += ["-CA", "ca.pem", "-CAkey", "ca.key"]
    for command in (ca, server):
        try:
            subprocess.run(["openssl", "req", *command], cwd=folder, check=True, capture_output=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"openssl makes no certificate here: {error}")
    return folder


async def answer(reader, writer) -> None:
    """One chat completion, then close."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    await reader.readexactly(length)
    body = json.dumps(ANSWER).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
    writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()


class Proxy:
    """Forwards requests and tunnels, and keeps the head of each."""

    def __init__(self):
        self.heads: list[str] = []

    async def serve(self, reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head.decode())
        method, target = head.split(b" ")[:2]
        host = target if method == b"CONNECT" else target.split(b"/")[2]
        name, _, port = host.decode().rpartition(":")
        onward_reader, onward = await asyncio.open_connection(name, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward.write(head)

        async def pump(source, sink) -> None:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, onward), pump(onward_reader, writer), return_exceptions=True)


@asynccontextmanager
async def listening(serve, **more):
    """The port of a server."""
    async with await asyncio.start_server(serve, "127.0.0.1", 0, **more) as server:
        yield server.sockets[0].getsockname()[1]


async def ask(url: str) -> str:
    """The text of one answer. Raises Failure."""
    cfg = server_tier(0, url).engine
    engine = OpenAIEngine("m", ledger=Ledger(None), base_url=cfg.base_url, key_env=None, cache=None, timeout_s=10)
    async with open_client() as session:
        body = {"model": "m", "messages": [{"role": "user", "content": "3 + 4"}]}
        found, _ = await ServerCalls(engine, session).exchange(body)
    return found["choices"][0]["message"]["content"]


def secured(authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    return context


def test_a_server_with_a_certificate_of_an_own_authority_needs_ssl_cert_file(authority, monkeypatch):
    async def scenario() -> None:
        async with listening(answer, ssl=secured(authority)) as port:
            with pytest.raises(Failure, match=r"connection failed \(SSLCertVerificationError\)"):
                await ask(f"https://127.0.0.1:{port}/v1")
            monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
            assert await ask(f"https://127.0.0.1:{port}/v1") == "7"
            assert await ask(f"https://localhost:{port}/v1") == "7"

    asyncio.run(scenario())


def test_an_authority_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    async def opened() -> None:
        async with open_client():
            pass

    for path, content in ((tmp_path / "missing.pem", None), (tmp_path / "empty.pem", "nothing")):
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(UserError, match=f"SSL_CERT_FILE={path}: holds no certificate that can be read"):
            asyncio.run(opened())


def test_calls_go_through_the_proxy_of_the_environment(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))

    async def scenario() -> None:
        proxy = Proxy()
        async with AsyncExitStack() as stack:
            plain = await stack.enter_async_context(listening(answer))
            secure = await stack.enter_async_context(listening(answer, ssl=secured(authority)))
            port = await stack.enter_async_context(listening(proxy.serve))
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
            assert await ask(f"http://127.0.0.1:{plain}/v1") == "7"
            assert await ask(f"https://127.0.0.1:{secure}/v1") == "7"
            first, second = proxy.heads
            assert first.startswith(f"POST http://127.0.0.1:{plain}/v1/chat/completions HTTP/1.1\r\n")
            assert second.startswith(f"CONNECT 127.0.0.1:{secure} HTTP/1.1\r\n")
            assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:secret').decode()}" in second
            assert "Bearer" not in second
            monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
            assert await ask(f"https://127.0.0.1:{secure}/v1") == "7"
            assert len(proxy.heads) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("environment", "address", "proxy"),
    [
        ({}, "http://a.example/v1", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://a.example/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://a.example/v1", None),
        ({"HTTPS_PROXY": "p:1"}, "https://a.example/v1", "http://p:1"),
        ({"https_proxy": "https://p:1"}, "https://a.example/v1", "https://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "https://a.example/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example"}, "http://a.example/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example"}, "http://a.example:8001/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:8001"}, "http://a.example:8001/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:8001"}, "http://a.example:8002/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "b.example"}, "http://a.example/v1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, "http://a.example/v1", None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "::1"}, "http://[::1]:8001/v1", None),
    ],
)
def test_which_proxy_an_address_gets(environment, address, proxy, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(address) == proxy


def test_a_proxy_that_is_not_reached_by_http_is_one_line_without_its_password(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@p:1")
    with pytest.raises(UserError, match="ALL_PROXY: a proxy of the kind socks5:// is not supported") as found:
        proxy_of("https://a.example/v1")
    assert "secret" not in str(found.value)
