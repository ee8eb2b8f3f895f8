"""A queue in front of an engine that answers in batches: the requests that wait when a batch ends form the next one.

ask() ─► waiting ─► batch ─► engine.generate in a thread ─► answers
           │
           └── requests of clients that hung up leave; questions in the background wait until nothing else does
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from corea.types import Completion, Engine, Message, Sampling

PATIENCE = 0.5
"""Share of the last batch's time for which the next one waits for questions that earlier tiers work on."""
GLANCE = 0.05
"""Share of it between two looks."""


class QueueFull(Exception):
    """No further request may wait. `wait_s`: seconds after which there may be room."""

    def __init__(self, wait_s: float):
        super().__init__("the queue is full")
        self.wait_s = wait_s


@dataclass(slots=True, eq=False)
class Waiting:
    """One question that waits."""

    messages: Sequence[Message]
    sampling: Sampling
    answer: asyncio.Future[list[Completion]]
    background: bool = False
    since: float = field(default_factory=time.monotonic)


class BatchQueue:
    """Batches the questions of concurrent requests. All methods belong to one event loop."""

    def __init__(self, engine: Engine, batch_size: int, most_waiting: int, more_come: Callable[[], bool] | None = None):
        """`more_come`: whether questions are on their way here, for which a batch waits (PATIENCE); None: never."""
        self.more_come = more_come
        self.turn: asyncio.Lock | None = None
        """Held while a batch is answered, if other engines are not to work at the same time."""
        self.engine, self.batch_size, self.most_waiting = engine, batch_size, most_waiting
        self.front: deque[Waiting] = deque()
        self.behind: deque[Waiting] = deque()
        """Questions in the background."""
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self.work: asyncio.Task[None] | None = None
        self.batches = 0
        self.batch_s = 1.0
        """Seconds of the last batch."""
        self.busy_since: float | None = None

    @property
    def others_turn(self) -> bool:
        """Whether an engine that this one takes turns with works on a batch."""
        return self.busy_since is None and self.turn is not None and self.turn.locked()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self.front) + len(self.behind)

    async def ask(self, messages: Sequence[Message], sampling: Sampling, background: bool = False) -> list[Completion]:
        """The completions of one prompt. A cancelled caller leaves the queue.

        Raises:
            QueueFull: too many wait.
        """
        if self.depth >= self.most_waiting:
            raise QueueFull(self.batch_s * (1 + self.depth // self.batch_size))
        one = Waiting(messages, sampling, asyncio.get_running_loop().create_future(), background)
        (self.behind if background else self.front).append(one)
        if self.work is None:
            self.work = asyncio.create_task(self._run())
        try:
            return await one.answer
        except asyncio.CancelledError:
            for line in (self.front, self.behind):
                if one in line:
                    line.remove(one)
            raise

    async def close(self) -> None:
        """Stop answering, and close the engine unless it is working."""
        for line in (self.front, self.behind):
            while line:
                line.popleft().answer.cancel()
        self.pool.shutdown(wait=False, cancel_futures=True)
        if self.busy_since is None:
            self.engine.close()

    async def _run(self) -> None:
        try:
            while self.depth:
                async with self.turn or nullcontext():
                    if batch := self._next():  # clients may have left meanwhile
                        await self._answer(batch)
                await self._gather(len(batch))
        finally:
            self.work = None

    async def _gather(self, answered: int) -> None:
        """Let the next batch grow after one of several questions, whose clients may ask again.

        Without this, clients that ask one question after another part into two groups, each of which waits while the
        other one is answered, and batches are half as large as they could be.
        """
        if answered < 2 or self.more_come is None:
            return
        until = time.monotonic() + PATIENCE * self.batch_s
        await asyncio.sleep(GLANCE * self.batch_s)
        while self.depth < self.batch_size and self.more_come() and time.monotonic() < until:
            await asyncio.sleep(GLANCE * self.batch_s)

    def _next(self) -> list[Waiting]:
        """The questions of the next batch; all have the same sampling parameters."""
        line = self.front or self.behind
        batch: list[Waiting] = []
        while line and len(batch) < self.batch_size and (not batch or line[0].sampling == batch[0].sampling):
            batch.append(line.popleft())
        return batch

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        self.busy_since = time.monotonic()
        try:
            found = await self._generate(batch)
        except Exception as error:  # an engine of the user's, or a prompt that it cannot take
            if len(batch) > 1:  # one prompt must not cost the others their answer
                for one in batch:
                    if not one.answer.done():
                        await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        finally:
            self.batch_s = time.monotonic() - (self.busy_since or time.monotonic())
            self.busy_since = None
        self.batches += 1
        for one, completions in zip(batch, found, strict=True):
            if not one.answer.done():
                one.answer.set_result(completions)

    async def _generate(self, batch: Sequence[Waiting]) -> list[list[Completion]]:
        prompts = [list(one.messages) for one in batch]
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self.pool, self.engine.generate, prompts, batch[0].sampling)
        if len(found) != len(batch):
            raise RuntimeError(f"the engine gave {len(found)} answers to {len(batch)} prompts")
        return found
