"""A tier in this process: a local model, recorded answers or an engine of the user's, behind a queue."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence

from corea.collecting.confidence_signals import note
from corea.collecting.plan import Tier
from corea.engines.remote.ledger import BudgetReached
from corea.engines.replay import ReplayEngine
from corea.errors import UserError
from corea.serving.batch_queue import BatchQueue, QueueFull
from corea.serving.tier_calls import HEALTH_TIMEOUT_S, Sink, TierCall, TierFailure, health_call
from corea.types import Completion, Engine


class QueuedTier:
    """Answers in batches, in a thread."""

    takes_fields = False

    def __init__(
        self,
        tier: Tier,
        engine: Engine,
        *,
        batch_size: int,
        queue_size: int,
        fresh_s: float,
        hung_s: float = math.inf,
        before: Sequence[QueuedTier] = (),
    ):
        """
        Args:
            fresh_s: seconds for which an answer shows that the engine is alive.
            hung_s: seconds without an answer after which the engine counts as hung.
            before: tiers whose questions may come here next.
        """
        self.tier, self.engine, self.fresh_s, self.hung_s = tier, engine, fresh_s, hung_s
        at_work = (lambda: any(one.busy or one.depth for one in before)) if before else None
        self.queue = BatchQueue(engine, batch_size, queue_size, at_work)
        self.answered_at = float("-inf")

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return self.queue.depth

    async def ask(self, call: TierCall, sink: Sink | None = None) -> list[Completion]:
        """See LiveTier. The answer is passed to the sink as a whole."""
        try:
            completions = await self.queue.ask(call.messages, call.sampling, call.background)
            self._refuse_stopped()
            if call.sampling.record or self.tier.signals:
                note(self.tier, completions)
        except QueueFull as error:
            raise TierFailure(
                status=429, reason=f"the queue of {self.tier.name} is full", retry_after=error.wait_s, code="queue_full"
            ) from None
        except (BudgetReached, TierFailure):
            raise
        except Exception as error:  # the engine's or its data's; the message may hold the question
            raise TierFailure(status=502, reason=f"{self.tier.name} failed ({type(error).__name__})") from error
        if all(c.finish_reason != "error" for c in completions):
            self.answered_at = time.monotonic()
            if sink is not None:
                for index, completion in enumerate(completions):
                    await sink.delta(index, {"content": completion.text})
        return completions

    async def check(self) -> str:
        """See LiveTier."""
        busy_since = self.queue.busy_since
        if busy_since is not None and time.monotonic() - busy_since > self.hung_s:
            return f"it has worked on one batch for {time.monotonic() - busy_since:.0f} s"
        if (
            self.queue.others_turn
            or time.monotonic() - self.answered_at < self.fresh_s
            or getattr(self.engine, "paid", False)
        ):
            return ""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                call = health_call(self.tier)
                (completion, *_) = await self.queue.ask(call.messages, call.sampling)
        except TimeoutError:
            return f"no answer within {HEALTH_TIMEOUT_S:g} s"
        except QueueFull:
            return "its queue is full"
        except Exception as error:  # the engine's
            return f"it failed ({type(error).__name__})"
        if completion.finish_reason == "error" and not isinstance(self.engine, ReplayEngine):
            return "it gave no answer"
        self.answered_at = time.monotonic()
        return ""

    @property
    def busy(self) -> bool:
        """Whether the engine works on a batch."""
        return self.queue.busy_since is not None

    async def close(self) -> None:
        """Close the engine; a working one ends with the process."""
        await self.queue.close()

    def _refuse_stopped(self) -> None:
        stopped: UserError | None = getattr(self.engine, "stopped", None)
        if isinstance(stopped, BudgetReached):
            raise stopped
        if stopped is not None:
            raise TierFailure(status=502, reason=f"{self.tier.name} makes no further call")
