"""Interface between a live cascade and its tiers: one question to one tier, its answer or its failure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from corea.collecting.confidence_signals import to_record
from corea.collecting.plan import Tier
from corea.config.engine_schema import OpenAIEngineConfig
from corea.types import Completion, Message, Sampling


class Sink(Protocol):
    """Receives the answer of the last tier as it arrives."""

    begun: bool
    """True once a byte of it is on its way to the client: the answer cannot be replaced any more."""

    def restart(self) -> None:
        """Drop the pieces so far, none of which was sent, since another attempt begins."""
        ...

    async def delta(self, index: int, delta: Mapping[str, Any]) -> None:
        """Pass on a piece of choice `index`: its `content` (text) and what else a message may hold."""
        ...


@dataclass(slots=True, kw_only=True)
class TierCall:
    """One question to one tier."""

    request_id: str
    messages: Sequence[Message]
    sampling: Sampling
    """With the number of samples."""
    fields: Mapping[str, Any] | None = None
    """The client's own request, for a server that answers what is not calibrated; None: as calibrated."""
    give_up_at: float = math.inf
    """time.monotonic() after which no attempt starts."""
    headers: Mapping[str, str] | None = None
    """Further headers of calls to a server: the trace context."""
    background: bool = False
    """Others come first, and no call waits for budget."""
    choices: list[dict[str, Any]] | None = None
    """Set by a server that answered `fields`: its choices as they are."""


@dataclass(kw_only=True, eq=False)
class TierFailure(Exception):
    """A tier gave no answer."""

    status: int
    """HTTP status for the client, if nothing else can answer: 429, 502, 503 or 504, or 400 for its own mistake."""
    reason: str
    """Short reason without text of the request or of a server."""
    retry_after: float | None = None
    """Seconds after which to try again."""
    code: str = "tier_failed"
    """Code of the error."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Of the completion that stands for the failure: tokens of its attempts."""

    def __str__(self) -> str:
        return self.reason

    def completion(self, model: str) -> Completion:
        """The completion that stands for the failure, as an engine gives it."""
        return Completion(
            text="",
            finish_reason="error",
            prompt_tokens=0,
            completion_tokens=0,
            model=model,
            error=self.reason,
            extra={"tokens": "unknown", **self.extra},
        )


class LiveTier(Protocol):
    """A tier of a live cascade."""

    tier: Tier

    @property
    def depth(self) -> int:
        """Requests that wait for it."""
        ...

    @property
    def takes_fields(self) -> bool:
        """Whether it answers requests that hold more than text: tools, images, any sampling."""
        ...

    async def ask(self, call: TierCall, sink: Sink | None = None) -> list[Completion]:
        """The samples of one question; with a `sink`, the answer is also passed on while it comes.

        Raises:
            TierFailure: there is no answer.
            BudgetReached: the budget allows no call.
        """
        ...

    async def check(self) -> str:
        """Why the tier cannot answer now; "" if it can. Asks it unless it has answered lately."""
        ...

    async def close(self) -> None: ...


def tier_sampling(tier: Tier) -> Sampling:
    """Sampling parameters that a tier is calibrated for."""
    return Sampling(
        temperature=tier.temperature,
        max_tokens=tier.max_tokens,
        n=tier.samples,
        seed=tier.seed,
        record=to_record(tier.signals, isinstance(tier.engine, OpenAIEngineConfig)),
    )


HEALTH_QUESTION: list[Message] = [{"role": "user", "content": "1 + 1 ="}]
HEALTH_TOKENS = 16
HEALTH_TIMEOUT_S = 5.0


def health_call(tier: Tier) -> TierCall:
    """A small question that shows whether a tier answers."""
    whole = tier_sampling(tier)
    sampling = replace(whole, max_tokens=min(HEALTH_TOKENS, whole.max_tokens), n=1)
    return TierCall(request_id="health", messages=HEALTH_QUESTION, sampling=sampling, background=True)
