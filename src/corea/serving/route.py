"""One question in a chain of tiers: which tier to ask next, and which answer stands.

It uses no engine, file or clock, so that a batch and a server decide alike:

    route = Route(question, point)
    while route.tier is not None:
        route.take(read_answer(tiers[route.tier], question, completions of that tier))
    route.result
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corea.answers.table import UNFINISHED
from corea.cascade.decision import Reason, deferral_reason, next_step
from corea.cascade.fitted_maps import LENGTH
from corea.cascade.live_point import LivePoint
from corea.collecting.answer_rows import answer_cost, parsed_answer, token_counts
from corea.collecting.confidence_signals import vote_shares
from corea.collecting.plan import Tier
from corea.prices import total
from corea.types import Completion, Parsed, Question, Status

VERBALIZED, VOTE = "verbalized", "vote"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierAnswer:
    """One tier's answer to one question."""

    tier: int
    model: str
    text: str
    parsed: Parsed
    raw: Mapping[str, float | None]
    """Raw confidence signals by name, and "length"; None: missing."""
    tokens: Mapping[str, int | None]
    """prompt_tokens, cached_tokens, completion_tokens of all samples; None: unknown."""
    cost_usd: float | None
    """Dollars of all samples, with failed attempts; None: unknown."""
    error: str = ""

    @property
    def failed(self) -> bool:
        """True if the engine gave no answer."""
        return self.parsed.status is Status.ERROR


def read_answer(tier: Tier, question: Question, completions: Sequence[Completion]) -> TierAnswer:
    """A tier's answer from its samples: that of the first sample, at the cost of all."""
    parsed = [parsed_answer(tier, question, c) for c in completions]
    first, counts = completions[0], [token_counts(c) for c in completions]
    costs = [answer_cost(tier.price, c) for c in completions]
    raw = {k.removeprefix("confidence_"): v for k, v in first.extra.items() if k.startswith("confidence_")}
    raw |= {VERBALIZED: parsed[0].confidence, LENGTH: counts[0]["completion_tokens"]}
    if VOTE in tier.signals:
        raw[VOTE] = vote_shares([p.answer for p in parsed])[0]
    return TierAnswer(
        tier=tier.tier,
        model=str(first.extra.get("server_model") or tier.name),
        text=first.text,
        parsed=parsed[0],
        raw=raw,
        tokens={name: _count([c[name] for c in counts]) for name in counts[0]},
        cost_usd=total(costs),
        error=first.error,
    )


def _count(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class Route:
    """The state of one question."""

    def __init__(
        self, question: Question, point: LivePoint, *, calibrated: bool = True, reason: Reason = Reason.UNCALIBRATED
    ):
        """`calibrated` False: the operating point does not hold for this question, and the last tier answers it, for
        this `reason`."""
        self.question, self.point = question, point
        self.answers: dict[int, TierAnswer] = {}
        """Position in the chain -> answer, in the order in which they came."""
        self.confidences: dict[int, float | None] = {}
        """Position -> the confidence that was compared with the threshold."""
        last = len(point.chain) - 1
        self.position = 0 if calibrated else last
        """Where the next answer is to come from; once done, where the result comes from."""
        self.stands = self.position == last
        """True: the answer at `position` is the result whatever its confidence."""
        self.reason = Reason.KEPT if calibrated else reason
        self.done = False

    @property
    def tier(self) -> int | None:
        """The tier to ask next; None: the question is answered."""
        return None if self.done else self.point.chain[self.position]

    @property
    def result(self) -> TierAnswer | None:
        """The answer that stands; None while there is none."""
        return self.answers.get(self.position) if self.done else None

    @property
    def deferred(self) -> bool:
        """True if a tier after the first was asked."""
        return max(self.answers, default=0) > 0

    @property
    def cost_usd(self) -> float | None:
        """Dollars of all tiers that answered; None: unknown. A failure of unknown cost is free, as in the sweep."""
        return total([a.cost_usd for a in self.answers.values() if not (a.failed and a.cost_usd is None)])

    def tokens(self, name: str) -> int | None:
        """Tokens of all tiers that answered, by the name of the count; None: unknown. Failures may not count any."""
        counts = [(a.tokens[name], a.failed) for a in self.answers.values()]
        return _count([count for count, failed in counts if not (failed and count is None)])

    def take(self, answer: TierAnswer) -> None:
        """Add the answer of the tier that was asked, and decide."""
        assert not self.done, "the question is answered"
        here, last = self.position, len(self.point.chain) - 1
        self.answers[here] = answer
        if self.stands:
            if answer.failed and here < last:  # a tier that states no confidence: nothing is left but the last one
                self.position, self.reason = last, Reason.SLM_ERROR
            else:
                self.done = True
            return
        unfinished = answer.parsed.status.value in UNFINISHED
        confidence = None if unfinished else self.point.confidence(here, answer.raw)
        self.confidences[here] = confidence
        step = next_step(confidence, self.point, here)
        if step.position == here:
            self.reason, self.done = Reason.KEPT, True
            return
        self.reason = deferral_reason(answer.parsed.status, confidence)
        self.position, self.stands = step.position, step.stands

    def fall_back(self, reason: Reason | None = None) -> bool:
        """Let the last answer of an earlier tier that did not fail stand; False if there is none.

        `reason` replaces the reason of the deferral.
        """
        earlier = [place for place, answer in self.answers.items() if not answer.failed]
        if not earlier:
            return False
        self.position, self.done = max(earlier), True
        self.reason = reason or self.reason
        return True
