"""Connections to servers, over responses as they go over the wire. All servers are real ones on loopback."""

import asyncio
import gzip
import json
import time
import zlib
from contextlib import asynccontextmanager

import pytest
import uvloop
from serve_helpers import server_tier

from corea.engines.remote.attempts import Failure
from corea.engines.remote.ledger import Ledger
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.errors import UserError
from corea.serving import http_connections, http_response
from corea.serving.http_connections import Connections
from corea.serving.upstream_client import ServerCalls, open_client

REQUEST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
TEXT = b"twelve words " * 12
OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = {
    "length": OK + b"Content-Length: %d\r\n\r\n%b" % (len(TEXT), TEXT),
    "chunked": OK
    + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n3;a=b\r\n...\r\n0\r\nx: y\r\n\r\n" % (len(TEXT), TEXT),
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(z := gzip.compress(TEXT)), z),
    "deflate": OK + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n%b" % (len(z := zlib.compress(TEXT)), z),
    "interim": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nlink: x\r\n\r\n"
    + OK
    + b"Content-Length: 2\r\n\r\nok",
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "close": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "end": OK + b"\r\n" + TEXT,
}
BODIES = {"chunked": TEXT + b"...", "interim": b"ok", "empty": b"", "close": b"ok"}
BROKEN = {
    "cut": (OK + b"Content-Length: 9\r\n\r\nhalf", "connection failed (ConnectionResetError)"),
    "cut chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf", "connection failed (ConnectionResetError)"),
    "nothing": (b"", "connection failed (ConnectionResetError)"),
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "connection failed (HttpParserError)"),
    "long head": (OK + b"x: " + b"y" * 2**17, "a response whose head has more than 65536 bytes"),
    "no gzip": (OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf", "connection failed (error)"),
    "other encoding": (
        OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\n.",
        "a response in an encoding that was not",
    ),
}


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request):
    def run(scenario) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario)

    return run


class Wire:
    """A server that answers each request with the next of `replies`, in parts of `step` bytes, and counts."""

    def __init__(self, *replies: bytes, step: int = 2**20, close: bool = False, wait: float = 0.0):
        self.replies, self.step, self.close, self.wait = list(replies), step, close, wait
        self.opened = self.closed = 0
        self.requests: list[bytes] = []

    async def serve(self, reader, writer) -> None:
        self.opened += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(length.split(b":")[1]))
                reply = self.replies.pop(0)
                for at in range(0, len(reply), self.step):
                    writer.write(reply[at : at + self.step])
                    await writer.drain()
                    await asyncio.sleep(self.wait)
                if self.close:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, IndexError):
            pass
        finally:
            self.closed += 1
            writer.close()


@asynccontextmanager
async def connected(wire: Wire):
    async with await asyncio.start_server(wire.serve, "127.0.0.1", 0) as server:
        connections = Connections("127.0.0.1", server.sockets[0].getsockname()[1])
        yield connections
        await connections.close()
        await asyncio.sleep(0.01)


async def answered(connections: Connections, seconds: float = 5.0) -> tuple[int, bytes]:
    response = await connections.send(REQUEST, seconds)
    try:
        await response.head()
        return response.status, await response.read()
    finally:
        response.release()


@pytest.mark.parametrize("step", [1, 2**20])
def test_a_response_is_read_whole_however_it_is_framed_and_split(run, step):
    async def scenario() -> None:
        for name, reply in RESPONSES.items():
            async with connected(Wire(reply, step=step, close=name == "end")) as connections:
                assert await answered(connections) == (200, BODIES.get(name, TEXT)), name

    run(scenario())


@pytest.mark.parametrize("name", BROKEN)
def test_a_response_that_breaks_is_a_failure_that_may_have_been_charged(run, name):
    reply, reason = BROKEN[name]

    async def scenario() -> None:
        async with connected(Wire(reply, close=True)) as connections:
            with pytest.raises(Failure) as found:
                await answered(connections)
            assert found.value.reason.startswith(reason)
            assert found.value.charged
            assert not connections.idle

    run(scenario())


def test_a_connection_is_used_again_after_any_whole_response(run):
    error = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nbusy"
    wire = Wire(RESPONSES["length"], error, RESPONSES["chunked"], RESPONSES["close"], RESPONSES["empty"])

    async def scenario() -> None:
        async with connected(wire) as connections:
            found = [await answered(connections) for _ in range(5)]
        assert found == [(200, TEXT), (500, b"busy"), (200, TEXT + b"..."), (200, b"ok"), (200, b"")]
        assert wire.opened == 2  # the fourth response closed the first one

    run(scenario())


def test_an_idle_connection_is_closed_in_time_and_never_used_late(run, monkeypatch):
    monkeypatch.setattr(http_connections, "KEEP_ALIVE_S", 0.05)
    wire = Wire(RESPONSES["length"], RESPONSES["length"])

    async def scenario() -> None:
        async with connected(wire) as connections:
            await answered(connections)
            connections.sweeper.cancel()
            connections.sweeper = None
            await asyncio.sleep(0.06)
            await answered(connections)  # over a new connection
            assert (wire.opened, len(connections.idle)) == (2, 1)
            await asyncio.sleep(0.15)
            assert (wire.closed, connections.idle) == (2, [])

    run(scenario())


def test_what_a_server_says_unasked_closes_the_connection(run):
    wire = Wire(RESPONSES["length"] + RESPONSES["length"], RESPONSES["empty"])

    async def scenario() -> None:
        async with connected(wire) as connections:
            assert await answered(connections) == (200, TEXT)
            await asyncio.sleep(0.01)
            assert await answered(connections) == (200, b"")
        assert wire.opened == 2

    run(scenario())


def test_silence_and_a_drip_end_at_the_limit(run):
    async def scenario() -> None:
        for wire in (Wire(OK[:9], wait=0.5), Wire(RESPONSES["length"], step=1, wait=0.01), Wire(OK, wait=0.5)):
            async with connected(wire) as connections:
                began = time.perf_counter()
                with pytest.raises(Failure, match=r"no answer within 0\.2 s") as found:
                    await answered(connections, 0.2)
                assert (found.value.late, found.value.charged) == (True, True)
                assert time.perf_counter() - began < 2

    run(scenario())


def test_a_cancelled_call_closes_its_connection_at_once(run):
    wire = Wire(RESPONSES["length"][:60], step=60)

    async def scenario() -> None:
        async with connected(wire) as connections:
            call = asyncio.create_task(answered(connections))
            await asyncio.sleep(0.05)
            assert (wire.opened, wire.closed) == (1, 0)
            call.cancel()
            await asyncio.sleep(0.05)
            assert (wire.closed, connections.idle) == (1, [])

    run(scenario())


def test_a_server_waits_for_a_reader_that_is_slow(run, monkeypatch):
    monkeypatch.setattr(http_response, "MOST_WAITING", 2**16)
    size = 2**21
    wire = Wire(OK + b"Content-Length: %d\r\n\r\n" % size + b"." * size)

    async def scenario() -> None:
        async with connected(wire) as connections:
            response = await connections.send(REQUEST, 5)
            await response.head()
            await asyncio.sleep(0.05)
            assert 0 < response.waiting < 2**19
            assert len(await response.read()) == size
            response.release()

    run(scenario())


def test_no_connection_costs_nothing(run):
    async def scenario() -> None:
        async with connected(Wire()) as connections:
            pass
        for host, name in ((connections.host, "ConnectionRefusedError"), ("no-such-host.invalid", "gaierror")):
            with pytest.raises(Failure, match=rf"connection failed \({name}\)") as found:
                await answered(Connections(host, connections.port))
            assert not found.value.charged

    run(scenario())


def engine(url: str) -> OpenAIEngine:
    cfg = server_tier(0, url).engine
    return OpenAIEngine("m", ledger=Ledger(None), base_url=cfg.base_url, key_env=None, cache=None, timeout_s=5)


def test_a_redirected_call_reaches_the_other_address(run):
    body = json.dumps({"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]}).encode()
    answer = OK + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    there = Wire(answer, answer)

    async def scenario() -> None:
        async with connected(there) as other:
            to = b"http://127.0.0.1:%d/v2/chat" % other.port
            moved = b"HTTP/1.1 308 Permanent Redirect\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % to
            here = Wire(moved, moved, moved)
            async with connected(here) as one, open_client() as client:
                calls = ServerCalls(engine(f"http://127.0.0.1:{one.port}/v1"), client)
                for _ in range(2):
                    found, _ = await calls.exchange({"model": "m", "messages": []}, {"traceparent": "00-1"})
                    assert found["choices"][0]["message"]["content"] == "7"
        assert here.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\ntraceparent: 00-1\r\n" in here.requests[0]
        assert [head.split(b"\r\n")[0] for head in there.requests] == [b"POST /v2/chat HTTP/1.1"] * 2

    run(scenario())


def test_a_header_that_cannot_be_sent_is_one_line(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "a\r\nx: y")

    async def scenario() -> None:
        async with open_client() as client:
            ServerCalls(engine("http://127.0.0.1:9/v1"), client)

    with pytest.raises(UserError, match=r"^header OpenAI-Organization for http://127\.0\.0\.1:9: holds characters"):
        asyncio.run(scenario())
