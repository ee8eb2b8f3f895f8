"""One streamed call: server-sent events in, deltas as they arrive and the whole response out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from corea.engines.remote.attempts import Failure, answer_failure
from corea.engines.remote.chat_format import CUT_OFF, answer_text, holds_answer
from corea.engines.remote.error_text import error_part, parsed
from corea.serving.tier_calls import Sink
from corea.serving.upstream_client import Response, ServerCalls, lines_of, read_on

PASSED_ON = ("tool_calls", "function_call", "refusal")
"""Parts of a delta, besides its content, that a client gets."""
DONE = b"[DONE]"
END_WAIT_S = 0.1
"""Seconds for which the end of the connection is waited for after the last event."""


class StreamedAnswer:
    """A response that is put together from chunks."""

    def __init__(self) -> None:
        self.model: str | None = None
        self.usage: Any = None
        self.texts: dict[int, list[str]] = {}
        self.reasoning: dict[int, list[str]] = {}
        self.others: dict[int, dict[str, Any]] = {}
        self.endings: dict[int, str] = {}

    def add(self, chunk: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
        """(index of the choice, what a client may see of it) for each choice of the chunk that says anything."""
        self.model = chunk.get("model") or self.model
        self.usage = chunk.get("usage") or self.usage
        found = []
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            number, said = choice.get("index"), choice.get("delta")
            index = number if isinstance(number, int) else 0
            delta: dict[str, Any] = said if isinstance(said, dict) else {}
            shown: dict[str, Any] = {k: delta[k] for k in PASSED_ON if delta.get(k)}
            self.others.setdefault(index, {}).update(shown)
            content = delta.get("content")
            if isinstance(content, str) and content:
                self.texts.setdefault(index, []).append(content)
                shown["content"] = content
            for name in ("reasoning_content", "reasoning"):
                if isinstance(delta.get(name), str):
                    self.reasoning.setdefault(index, []).append(delta[name])
                    break
            if choice.get("finish_reason") is not None:
                self.endings[index] = str(choice["finish_reason"])
            if shown:
                found.append((index, shown))
        return found

    def unanswered_reasoning(self) -> str:
        """The reasoning of a first choice that has no content, which some servers give as the answer."""
        said = "".join(self.texts.get(0, ())).strip() or self.others.get(0)
        cut = self.endings.get(0, "").strip().lower() in CUT_OFF
        return "" if said or cut else "".join(self.reasoning.get(0, ()))

    def response(self) -> dict[str, Any]:
        """The whole response, as without streaming."""
        choices = [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": "".join(self.texts.get(index, ())),
                    "reasoning_content": "".join(self.reasoning.get(index, ())) or None,
                    **self.others.get(index, {}),
                },
                "finish_reason": self.endings.get(index),
            }
            for index in sorted({0, *self.texts, *self.others, *self.endings})
        ]
        return {"model": self.model, "choices": choices, "usage": self.usage}


async def stream_exchange(
    calls: ServerCalls, body: dict[str, Any], sink: Sink, headers: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], float]:
    """One call; raises Failure. Once the client has the first byte, no other attempt is possible.

    `headers`: further ones.
    """
    sink.restart()
    sent = {"stream": True, "stream_options": {"include_usage": True}, **body, **calls.cfg.extra}
    answer, started = StreamedAnswer(), time.perf_counter()
    try:
        async with calls.post(sent, headers) as response:
            whole = await _read(response, answer, sink)
    except Failure as failure:
        failure.again = failure.again and not sink.begun
        raise
    if whole is not None:  # the server does not stream
        if not holds_answer(whole):
            raise answer_failure(whole)
        await sink.delta(0, {"content": answer_text(whole) or ""})
        return whole, time.perf_counter() - started
    if late := answer.unanswered_reasoning():
        await sink.delta(0, {"content": late})
    return answer.response(), time.perf_counter() - started


async def _read(response: Response, answer: StreamedAnswer, sink: Sink) -> Any:
    """Read the events into `answer` and `sink`; the whole body if it is no stream, else None. Raises Failure."""
    if "text/event-stream" not in response.headers.get("content-type", "text/event-stream"):
        return parsed((await response.read()).decode(errors="replace"))
    async for data in _events(lines_of(response)):
        if data == DONE:
            await read_on(response, END_WAIT_S)
            return None
        chunk = parsed(data.decode(errors="replace"))
        if not isinstance(chunk, dict):
            raise Failure(reason="a stream that is not JSON", charged=True)
        if error_part(chunk) is not None:
            raise answer_failure(
                chunk | {"usage": chunk.get("usage") or answer.usage, "choices": [{}] if answer.texts else []}
            )
        for index, delta in answer.add(chunk):
            await sink.delta(index, delta)
    if 0 not in answer.endings:
        raise Failure(reason="the stream ended before the answer did", charged=True)
    return None


async def _events(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Data of each event."""
    data: list[bytes] = []
    async for line in lines:
        if not line.strip():
            if data:
                yield b"\n".join(data)
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    if data:
        yield b"\n".join(data)
