"""A lean client that loads a server with chat completions, closed or open loop.

Each response is checked: a figure counts answers that are right.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools

TIMEOUT_S = 120.0
PARSED = 16
"""One response in so many is parsed; of the others, the body is searched for the answer."""


class WrongAnswer(Exception):
    """A response that is not the right answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked where."""

    url: str
    """http://HOST:PORT of the server."""
    model: str
    stream: bool = False
    system: str = ""
    """Text of a system message."""
    max_tokens: int | None = None
    temperature: float | None = None
    checked: bool = True
    """Every answer holds the first word of its question; False: it only has to be there."""
    tags: bool = False
    """Ask corea.serve for the answer with its tags."""

    def request(self, question: str) -> bytes:
        """A request as it goes over the wire."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Any] = {"model": self.model, "messages": [*messages, {"role": "user", "content": question}]}
        body |= ({"stream": True} if self.stream else {}) | ({"corea": {"tags": True}} if self.tags else {})
        body |= {k: v for k in ("max_tokens", "temperature") if (v := getattr(self, k)) is not None}
        data = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(self.url).netloc}\r\nauthorization: Bearer none\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def text(self, body: bytes) -> str:
        """The answer's text in a response."""
        if not self.stream:
            return json.loads(body)["choices"][0]["message"]["content"] or ""
        lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
        if lines[-1].strip() != b"[DONE]":
            raise WrongAnswer("the stream did not end")
        chunks = [json.loads(line) for line in lines[:-1]]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


class Connection(asyncio.Protocol):
    """One connection that asks one request after another."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.usable = True
        """False: the server closes the connection after its response."""
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.usable = self.parser.should_keep_alive()
        found = (self.parser.get_status_code(), bytes(self.body))
        self.body.clear()
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(found)

    def connection_lost(self, error: Exception | None) -> None:
        if self.body and error is None:  # a response that ends with its connection
            self.on_message_complete()
            self.usable = False
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(error or ConnectionError("the server closed the connection"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """(status, body) of one request."""
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        async with asyncio.timeout(TIMEOUT_S):
            return await self.waiting


@dataclass(slots=True)
class Pool:
    """Connections to one server, opened when needed."""

    url: str
    free: list[Connection] = field(default_factory=list)
    asked: int = 0

    async def take(self) -> Connection:
        """A connection that nobody uses."""
        while self.free:
            found = self.free.pop()
            if not found.transport.is_closing():
                return found
        address = urlsplit(self.url)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(Connection, address.hostname, address.port))[1]

    async def ask(self, target: Target, question: str) -> float:
        """Seconds from the request to the last byte of the response. Raises WrongAnswer."""
        self.asked += 1
        seconds, body = await self.answer(target, question)
        if target.checked:
            text = target.text(body) if self.asked % PARSED == 1 else body.decode()
            if question.split()[0] not in text or (target.stream and b"data: [DONE]" not in body):
                raise WrongAnswer(f"{text!r} to {question!r}")
        return seconds

    async def answer(self, target: Target, question: str) -> tuple[float, bytes]:
        """(seconds, body of the response). Raises WrongAnswer at an error."""
        connection = await self.take()
        request = target.request(question)
        began = time.perf_counter()
        status, body = await connection.ask(request)
        seconds = time.perf_counter() - began
        if connection.usable:
            self.free.append(connection)
        else:
            connection.transport.close()
        if status != 200:
            raise WrongAnswer(f"status {status}: {body[:300].decode(errors='replace')}")
        return seconds, body

    def close(self) -> None:
        """Close the connections that are free."""
        for connection in self.free:
            connection.transport.close()


async def texts(target: Target, questions: Sequence[str]) -> list[str]:
    """The answers to questions that are asked together."""
    pool = Pool(target.url)
    found = await asyncio.gather(*(pool.answer(target, question) for question in questions))
    pool.close()
    return [target.text(body).strip() for _, body in found]


async def saturate(
    mix: Sequence[tuple[Target, Callable[[int], str]]], *, connections: int, seconds: float = 0.0, number: int = 0
) -> tuple[float, int]:
    """(answers per second, answers) over `connections` that always ask, the targets of `mix` in turn.

    It ends after `number` requests or, if that is 0, after `seconds`. Raises WrongAnswer.
    """
    pools = {target.url: Pool(target.url) for target, _ in mix}
    began = time.perf_counter()
    asked = itertools.count()

    async def work() -> int:
        done = 0
        while (n := next(asked)) < number or (not number and time.perf_counter() - began < seconds):
            target, questions = mix[n % len(mix)]
            await pools[target.url].ask(target, questions(n))
            done += 1
        return done

    answers = sum(await asyncio.gather(*(work() for _ in range(connections))))
    elapsed = time.perf_counter() - began
    for pool in pools.values():
        pool.close()
    return answers / elapsed, answers


async def arrive(
    targets: Sequence[tuple[Target, Callable[[int], str]]], *, rate: float, number: int, seed: int
) -> list[list[float]]:
    """Open loop: `rate` requests per second at random times (exponential gaps), the targets in turn, `number` of each.

    Returns:
        Seconds of each request, by target. Raises WrongAnswer.
    """
    pools = {target.url: Pool(target.url) for target, _ in targets}
    rng, found = random.Random(seed), [[] for _ in targets]  # type: list[list[float]]

    async def ask(place: int, n: int) -> None:
        target, questions = targets[place]
        found[place].append(await pools[target.url].ask(target, questions(n)))

    tasks, at = [], time.perf_counter()
    for n in range(number):
        for place in range(len(targets)):
            at += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(place, n)))
    await asyncio.gather(*tasks)
    for pool in pools.values():
        pool.close()
    return found
