"""A lean OpenAI-compatible server for the benchmarks: python benchmarks/serving_mock.py PORT LATENCY_MS

It answers every chat completion LATENCY_MS after its last byte. The model "slm" states confidence 0.1 for a question
with the word "hard", else 0.9; every other model states none. A stream has one chunk for each word, each written by
itself.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

import httptools
import uvloop

ANSWER = "<think>the first number and the second number are added</think> <answer>{value}</answer>"
CONFIDENCE = " <confidence>{confidence}</confidence>"
HARD = "hard"
"""Word of a question that the small model is not sure of."""


def answer(body: dict[str, Any]) -> str:
    """The text of the answer: the first number of the question, and the confidence of the small model."""
    content = body["messages"][-1]["content"]
    question = content if isinstance(content, str) else "".join(part["text"] for part in content)
    text = ANSWER.format(value=found[0] if (found := re.findall(r"\d+", question)) else 0)
    if body["model"].endswith("slm"):
        text += CONFIDENCE.format(confidence=0.1 if HARD in question else 0.9)
    return text


def usage(text: str) -> dict[str, int]:
    """Tokens, as many as words."""
    return {"prompt_tokens": 20, "completion_tokens": len(text.split()), "total_tokens": 20 + len(text.split())}


def whole(body: dict[str, Any]) -> bytes:
    """The response to a request without streaming."""
    text = answer(body)
    message = {"role": "assistant", "content": text}
    made = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage(text),
    }
    data = json.dumps(made).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def events(body: dict[str, Any]) -> list[bytes]:
    """The events of a stream, each a chunk of the transfer encoding."""
    text = answer(body)
    words = text.split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def chunk(delta: dict[str, Any], ending: str | None = None) -> dict[str, Any]:
        return base | {"choices": [{"index": 0, "delta": delta, "finish_reason": ending}]}

    made = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    made += [chunk({}, "stop"), base | {"choices": [], "usage": usage(text)}]
    found = [f"data: {json.dumps(one)}\n\n".encode() for one in made] + [b"data: [DONE]\n\n"]
    return [b"%x\r\n%b\r\n" % (len(one), one) for one in found] + [b"0\r\n\r\n"]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
HEALTHY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Mock(asyncio.Protocol):
    """One connection."""

    latency_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        data, self.body = self.body, b""
        if not data:
            self.transport.write(HEALTHY)
            return
        asyncio.get_running_loop().call_later(self.latency_s, self.reply, json.loads(data))

    def reply(self, body: dict[str, Any]) -> None:
        """Send the answer; a closed connection takes none."""
        if self.transport.is_closing():
            return
        if body.get("stream"):
            self.transport.write(HEAD)
            self.write(events(body), 0)
        else:
            self.transport.write(whole(body))

    def write(self, parts: list[bytes], at: int) -> None:
        """Send the events of a stream one by one."""
        if self.transport.is_closing():
            return
        self.transport.write(parts[at])
        if at + 1 < len(parts):
            asyncio.get_running_loop().call_soon(self.write, parts, at + 1)


async def main(port: int, latency_ms: float) -> None:
    """Serve until the process is ended."""
    Mock.latency_s = latency_ms / 1000
    server = await asyncio.get_running_loop().create_server(Mock, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
