"""llm.dry_run=true: estimate the cost of the calls without making any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corea.collecting.answer_store import Store
from corea.collecting.plan import Tier, asked_of, held_out_questions, question_key
from corea.config import CollectConfig
from corea.prices import cost_usd
from corea.tasks.prompts import build_messages

BYTES_A_TOKEN = 4.0
"""Approximate bytes per token of English text; used if there are no stored answers."""
SHARE_OF_MOST = 0.25
"""Share of max_tokens that an answer takes; used if there are no stored answers."""


@dataclass(slots=True, kw_only=True)
class Estimate:
    """Estimate of the calls of one tier that remain to be made."""

    calls: int
    kept: int
    """Stored answers."""
    prompt_tokens: float
    """Expected, per call."""
    completion_tokens: float
    expected_usd: float | None
    most_usd: float | None
    """Cost if every answer takes max_tokens; None: prices are unknown."""
    measured: bool
    """True if estimated from stored answers, False if from the rules of thumb above."""


def estimate(tier: Tier, cfg: CollectConfig, folder: Path) -> Estimate:
    """Estimate for `tier` on the questions of `cfg` without those stored in `folder`; nothing is written."""
    questions = asked_of(tier, held_out_questions(cfg.data), cfg)
    store = Store(folder, tier) if Store.path_of(folder, tier).exists() else None
    try:
        kept = [q for q in questions if store is not None and store.has(question_key(q), tier.samples)]
        answers = [store.get(question_key(q), 0) for q in kept] if store is not None else []
    finally:
        if store is not None:
            store.close()
    counted = [a for a in answers if a.extra.get("tokens") != "unknown"]
    done = {q.id for q in kept}
    sizes = [sum(len(m["content"].encode()) for m in build_messages(tier.prompt, q)) for q in questions]
    rest = [n for q, n in zip(questions, sizes, strict=True) if q.id not in done]
    calls = len(rest) * tier.samples
    prompt = sum(rest) / max(1, len(rest)) / BYTES_A_TOKEN
    completion = SHARE_OF_MOST * tier.max_tokens
    if counted:
        prompt = sum(a.prompt_tokens for a in counted) / len(counted)
        completion = sum(a.completion_tokens for a in counted) / len(counted)
    expected = cost_usd(tier.price, prompt, 0, completion)
    most = cost_usd(tier.price, prompt, 0, tier.max_tokens)
    return Estimate(
        calls=calls,
        kept=len(kept) * tier.samples,
        prompt_tokens=prompt,
        completion_tokens=completion,
        expected_usd=None if expected is None else expected * calls,
        most_usd=None if most is None else most * calls,
        measured=bool(counted),
    )


def show_estimate(cfg: CollectConfig, tiers: Sequence[Tier], folder: Path) -> None:
    """Print the estimate of each larger model."""
    for tier in tiers:
        if tier.tier > 0:
            _show_tier(cfg, tier, folder)
    print("no calls were made (llm.dry_run=true)")


def _show_tier(cfg: CollectConfig, tier: Tier, folder: Path) -> None:
    e = estimate(tier, cfg, folder / "answers")
    basis = (
        "measured on the stored answers" if e.measured else "rules of thumb: 4 bytes per token, a quarter of the limit"
    )
    print(f"{tier.name}: {e.calls} calls to make, {e.kept} answers stored")
    tokens = f"{e.prompt_tokens:.0f} of the prompt, {e.completion_tokens:.0f} of the answer"
    print(f"  tokens per call: {tokens} ({basis})")
    if e.expected_usd is None or e.most_usd is None:
        print("  cost: unknown; give llm.price.input and llm.price.output in dollars per million tokens")
        return
    print(f"  cost: ${e.expected_usd:.4f} expected, ${e.most_usd:.4f} if every answer takes {tier.max_tokens} tokens")
    if tier.budget_usd is not None:
        fits = "within" if e.most_usd <= tier.budget_usd else "may be stopped by"
        print(f"  {fits} llm.budget_usd={tier.budget_usd:g}")
