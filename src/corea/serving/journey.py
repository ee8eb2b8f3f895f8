"""State of one request in a live cascade, and the record of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corea.collecting.confidence_signals import plain_answer
from corea.serving.chat_requests import ChatRequest
from corea.serving.route import Route, TierAnswer
from corea.serving.served_record import ServedRecord, ServedTier
from corea.serving.tier_calls import TierFailure
from corea.serving.tracing import RequestSpan
from corea.types import RETRIES, Completion, Status


@dataclass(slots=True, kw_only=True, eq=False)
class Journey:
    """The state of one request."""

    request: ChatRequest
    route: Route
    span: RequestSpan = field(default_factory=lambda: RequestSpan({}))
    began: float = field(default_factory=time.perf_counter)
    time_s: float = field(default_factory=time.time)
    latency: dict[int, float] = field(default_factory=dict)
    """Position in the chain -> seconds of the tier."""
    completions: dict[int, list[Completion]] = field(default_factory=dict)
    """Position -> its samples."""
    errors: dict[int, str] = field(default_factory=dict)
    """Position -> why the tier gave no answer."""
    asking: int | None = None
    """Position of the tier that is being asked."""
    asking_name: str = ""
    asked_at: float = 0.0
    failure: TierFailure | None = None
    """Why there is no answer."""
    last_failure: TierFailure | None = None
    """Of the tier that failed last."""
    fallback: bool = False
    """A later tier failed, and an earlier answer stands."""
    choices: list[dict[str, Any]] | None = None
    """Choices of a server that answered an uncalibrated request."""

    @property
    def result(self) -> TierAnswer | None:
        """The answer for the client; None: there is none."""
        found = self.route.result
        return None if self.failure is not None or found is None or found.failed else found

    @property
    def decided(self) -> int | None:
        """Position of the last tier whose confidence was compared with a threshold."""
        return max(self.route.confidences, default=None)

    def costs(self) -> dict[str, float | None]:
        """Tier -> dollars; None: unknown."""
        return {str(answer.tier): answer.cost_usd for answer in self.route.answers.values()}

    def tokens(self) -> dict[str, int] | None:
        """Tokens of all tiers with their failed attempts; None: an answer was not counted."""
        counts = dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"), 0)
        for answer in self.route.answers.values():
            for name in counts:
                if answer.tokens[name] is None and not answer.failed:
                    return None
                counts[name] += answer.tokens[name] or 0
        for group in self.completions.values():
            for completion in group:
                for name, key in zip(("prompt_tokens", "completion_tokens"), RETRIES, strict=True):
                    counts[name] += completion.extra.get(key) or 0
        return counts


def record_of(
    journey: Journey,
    *,
    operating_point: str,
    http_status: int,
    unbound: bool,
    keep_text: bool,
    shadow: tuple[bool, float] | None = None,
) -> ServedRecord:
    """The record of a request. `shadow`: the shadowing decision of a kept question."""
    route, request = journey.route, journey.request
    places = sorted(route.answers)
    tiers = [served_tier(journey, place, keep_text) for place in places]
    if journey.asking is not None and journey.asking not in route.answers:
        tiers.append(_unfinished(journey, journey.asking))
    result = journey.result
    return ServedRecord(
        request_id=request.request_id,
        time_s=journey.time_s,
        operating_point=operating_point,
        dataset=request.point.dataset,
        question_id=request.question.id,
        question=request.question.text if keep_text else None,
        tier=None if result is None else result.tier,
        reason=route.reason.value,
        fallback=journey.fallback,
        unbound=unbound,
        tiers=tuple(tiers),
        http_status=http_status,
        stream=request.stream,
        total_s=time.perf_counter() - journey.began,
        shadow_probability=None if shadow is None else shadow[1],
        agrees=both_agree(route),
    )


def both_agree(route: Route) -> bool | None:
    """Whether the first and the last tier gave the same answer; None: not both were asked, or one failed."""
    first, last = route.answers.get(0), route.answers.get(len(route.point.chain) - 1)
    return None if first is None or last is None or first is last else same_answer(first, last)


def same_answer(one: TierAnswer, other: TierAnswer) -> bool | None:
    """Whether two answers are equal up to white space and case; None: one failed or was not parsed."""
    if one.failed or other.failed or one.parsed.answer is None or other.parsed.answer is None:
        return None
    return plain_answer(one.parsed.answer) == plain_answer(other.parsed.answer)


def served_tier(journey: Journey, place: int, keep_text: bool) -> ServedTier:
    """The record of the tier at a position."""
    route = journey.route
    compared = place in route.confidences
    return served_answer(
        route.answers[place],
        confidence=route.confidences.get(place),
        threshold=route.point.thresholds[place] if compared else None,
        latency_s=journey.latency.get(place, 0.0),
        error=journey.errors.get(place, ""),
        keep_text=keep_text,
    )


def served_answer(
    answer: TierAnswer,
    *,
    confidence: float | None = None,
    threshold: float | None = None,
    latency_s: float,
    error: str = "",
    keep_text: bool,
) -> ServedTier:
    """The record of one tier's answer."""
    return ServedTier(
        tier=answer.tier,
        model=answer.model,
        status=answer.parsed.status.value,
        confidence=confidence,
        threshold=threshold,
        signals=dict(answer.raw),
        **_counts(answer.tokens),
        cost_usd=answer.cost_usd,
        latency_s=latency_s,
        answer=answer.parsed.answer if keep_text else None,
        text=answer.text if keep_text else None,
        error=error or ("no answer" if answer.failed else ""),
    )


def _counts(tokens: Mapping[str, int | None]) -> dict[str, Any]:
    return {name: tokens.get(name) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")}


def _unfinished(journey: Journey, place: int) -> ServedTier:
    """The tier that was being asked when the request ended."""
    reason = journey.failure.reason if journey.failure is not None else "the client hung up"
    number = journey.route.point.chain[place]
    return ServedTier(
        tier=number,
        model=journey.asking_name,
        status=Status.ERROR.value,
        confidence=None,
        threshold=None,
        latency_s=time.perf_counter() - journey.asked_at,
        error=reason,
    )
