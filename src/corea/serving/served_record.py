"""What is recorded of one served request. It holds no question and no answer unless text may be logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedTier:
    """One tier that was asked."""

    tier: int
    model: str
    """Name that the server reports, or the tier's own."""
    status: str
    """Parse status of the answer (corea.types.Status)."""
    confidence: float | None
    """The confidence that was compared with the threshold; None: missing, or the tier decides nothing."""
    threshold: float | None
    """None: the last tier."""
    signals: Mapping[str, float | None] = field(default_factory=dict)
    """Raw confidence signals by name, and "length"."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    """Dollars, with failed attempts; None: unknown."""
    latency_s: float = 0.0
    """Seconds from the request to this tier to its answer."""
    answer: str | None = None
    """Parsed answer; None unless text may be logged."""
    text: str | None = None
    """The completion; None unless text may be logged."""
    error: str = ""
    """Why the tier gave no answer: a short reason without text of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedRecord:
    """One request and its decision."""

    request_id: str
    time_s: float
    """Unix time in seconds."""
    operating_point: str
    """sha256 of the file."""
    dataset: str
    """Dataset of the operating point whose thresholds applied."""
    question_id: str
    """Hash of the question."""
    question: str | None = None
    """None unless text may be logged."""
    tier: int | None
    """The tier whose answer was returned; None: the request failed."""
    reason: str
    """corea.cascade.decision.Reason."""
    fallback: bool = False
    """True: a later tier failed, and an earlier answer was returned."""
    unbound: bool = False
    tiers: tuple[ServedTier, ...] = ()
    """The tiers that were asked, in order."""
    http_status: int = 200
    stream: bool = False
    total_s: float = 0.0
    """Seconds from the request's last byte to the response's last byte."""
    shadow: bool = False
    """True: a kept question that was also sent to the last tier in the background, whose answer ends `tiers`."""
    shadow_probability: float | None = None
    """Probability with which a kept question is shadowed; None: the question was deferred, so no draw was made."""
    agrees: bool | None = None
    """Whether the answer of the first tier equals that of the last one; None: not both were asked, or one failed."""
