"""Cost of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from corea.config.price_schema import PriceConfig

USD = "usd"
LLM_CALLS = "llm_calls"
"""Cost unit of a table without prices: one LLM call costs 1, one SLM call 0."""


def cost_usd(price: PriceConfig, prompt_tokens: float, cached_tokens: float, completion_tokens: float) -> float | None:
    """Dollars of one completion (or of a column of them); None if the price is unknown.

    `prompt_tokens` include `cached_tokens`; `completion_tokens` include reasoning tokens.
    """
    if price.gpu_hour is not None and price.tokens_per_s is not None:
        return completion_tokens * price.gpu_hour * price.gpus / 3600 / price.tokens_per_s
    if price.input is None or price.output is None:
        return None
    cached = price.input if price.cached is None else price.cached
    fresh_tokens = prompt_tokens - cached_tokens
    return (fresh_tokens * price.input + cached_tokens * cached + completion_tokens * price.output) / 1e6


def total(amounts: Sequence[float | None]) -> float | None:
    """The sum; None if one of the amounts is unknown."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
