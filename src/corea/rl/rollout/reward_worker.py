"""python -m corea.rl.rollout.reward_worker: runs one of the user's reward functions in a process that can be killed.

Reads length-prefixed pickles that its parent writes to stdin: first (key, target, params, prompt), then batches, each
a list of (number, rollouts of one question). Writes lines of JSON: {"ready"} or {"fatal"} once, then for each question
{"begun"} and {"done", "values"} or {"done", "failed"}. An asynchronous function runs concurrently for all questions of
a batch.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from corea.errors import UserError
from corea.rl.rollout.trl_function import from_trl, is_trl_function
from corea.types import Rollout
from corea.user_code import load_function

HEADER = 8
"""Bytes of the length before each pickle."""
Reply = Callable[[dict[str, Any]], None]


def main() -> None:
    """Serve until stdin ends."""
    jobs, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the user's function prints must not get into the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C, and may finish its step first

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message).encode() + b"\n")

    key, target, params, prompt = receive(jobs)
    try:
        function = load_function(key, target)
    except UserError as error:
        reply({"fatal": str(error)})
        return
    if is_trl_function(function):
        function = from_trl(f"{key}={target}", function, prompt)
    reply({"ready": True})
    while (batch := receive(jobs)) is not None:
        asyncio.run(answer(batch, lambda rollouts: function(rollouts, **params), reply))


async def answer(batch: list[tuple[int, list[Rollout]]], function: Callable[..., Any], reply: Reply) -> None:
    """Call the function on every question of a batch; awaitable results are awaited together."""
    pending = []
    for number, rollouts in batch:
        reply({"begun": number})
        try:
            values = function(rollouts)
        except Exception as error:  # the user's code may raise anything
            reply(_failure(number, error))
            continue
        if inspect.isawaitable(values):
            pending.append(_finish(number, values, reply))
        else:
            _send(number, values, reply)
    await asyncio.gather(*pending)


async def _finish(number: int, values: Any, reply: Reply) -> None:
    try:
        _send(number, await values, reply)
    except Exception as error:  # as above
        reply(_failure(number, error))


def _send(number: int, values: Sequence[float], reply: Reply) -> None:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        reply(_failure(number, error))
    else:
        reply({"done": number, "values": numbers})


def _failure(number: int, error: Exception) -> dict[str, Any]:
    words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return {"done": number, "failed": " ".join(words.split())[:500], "mistake": isinstance(error, UserError)}


def receive(stream: BinaryIO) -> Any:
    """The next pickle; None at the end."""
    header = stream.read(HEADER)
    return None if len(header) < HEADER else pickle.loads(stream.read(int.from_bytes(header, "big")))


if __name__ == "__main__":
    main()
