"""Cost estimate of dry_run=true, from the deferral rate that the operating point expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corea.collecting.estimate import BYTES_A_TOKEN, SHARE_OF_MOST
from corea.collecting.plan import Tier
from corea.prices import cost_usd, total
from corea.serving.route import Route
from corea.tasks.prompts import build_messages


@dataclass(slots=True, kw_only=True)
class AnswerEstimate:
    """What remains to be asked."""

    questions: int
    kept: int
    """Questions that an earlier run answered."""
    calls: dict[int, float]
    """Tier -> questions that it is expected to be asked."""
    most_calls: dict[int, int]
    """Tier -> questions that can reach it."""
    expected_usd: float | None
    """None: a price is unknown."""
    most_usd: float | None
    """Cost if every question reaches every tier and every answer takes max_tokens."""
    recorded: bool
    """True: from the mean costs of the operating point; False: from the rules of thumb of collecting/estimate.py."""


def estimate_answers(routes: Sequence[Route], tiers: Mapping[int, Tier], repriced: bool) -> AnswerEstimate:
    """Estimate of the open `routes`, which already hold the stored answers. `repriced` as in `summarise_rows`."""
    rest = [route for route in routes if not route.done]
    calls, most_calls = dict.fromkeys(sorted(tiers), 0.0), dict.fromkeys(sorted(tiers), 0)
    expected: list[float | None] = []
    most: list[float | None] = []
    recorded = not repriced and all(_recorded_usd(route) is not None for route in rest)
    for route in rest:
        shares = _shares(route)
        for tier, share in shares.items():
            calls[tier] += share
            most_calls[tier] += 1
        thumb = [_call_usd(tiers[tier], route, SHARE_OF_MOST) for tier in shares]
        worst = [_call_usd(tiers[tier], route, 1.0) for tier in shares]
        parts = [None if c is None else share * c for share, c in zip(shares.values(), thumb, strict=True)]
        weighted = total(parts)
        expected.append(_recorded_usd(route) if recorded else weighted)
        most.append(total(worst))
    return AnswerEstimate(
        questions=len(routes),
        kept=len(routes) - len(rest),
        calls=calls,
        most_calls=most_calls,
        expected_usd=total(expected),
        most_usd=total(most),
        recorded=recorded,
    )


def _shares(route: Route) -> dict[int, float]:
    """Tier -> probability that it is asked: 1 for the next one, the expected deferral rate for those after it."""
    deferral = route.point.expected.get("deferral_rate", 1.0)
    ahead = route.point.chain[route.position :]
    after = deferral if route.position == 0 else 1.0
    return {tier: 1.0 if place == 0 else after for place, tier in enumerate(ahead)}


def _recorded_usd(route: Route) -> float | None:
    """Mean dollars of the remaining tiers on the operating point's test questions; None: unknown."""
    if route.position == 0 and len(route.point.chain) > 1:
        return route.point.expected.get("cost_usd")
    return route.point.llm_cost_usd


def _call_usd(tier: Tier, route: Route, share: float) -> float | None:
    """Dollars of one answer of `share` of the token limit."""
    size = sum(len(m["content"].encode()) for m in build_messages(tier.prompt, route.question))
    one = cost_usd(tier.price, size / BYTES_A_TOKEN, 0, share * tier.max_tokens)
    return None if one is None else one * tier.samples


def show_answer_estimate(e: AnswerEstimate, tiers: Mapping[int, Tier], budget_usd: float | None) -> None:
    """Print the estimate."""
    print(f"{e.questions} questions, {e.kept} answered by an earlier run")
    for number, tier in sorted(tiers.items()):
        some = "" if e.most_calls[number] == round(e.calls[number]) else f", at most {e.most_calls[number]}"
        print(f"  tier {number} ({tier.name}): {e.calls[number]:.0f} questions expected{some}")
    if e.expected_usd is None or e.most_usd is None:
        print("  cost: unknown; give tiers.N.price.input and tiers.N.price.output in dollars per million tokens")
    else:
        basis = "mean costs of the operating point" if e.recorded else "4 bytes a token, a quarter of the token limits"
        print(f"  cost: ${e.expected_usd:.4f} expected ({basis})")
        print(f"  ${e.most_usd:.4f} if every question is deferred and every answer takes its token limit")
        if budget_usd is not None:
            fits = "within" if e.most_usd <= budget_usd else "may be stopped by"
            print(f"  {fits} budget_usd={budget_usd:g}")
    print("no model was asked (dry_run=true)")
