"""Token counts in server responses."""

from __future__ import annotations

from typing import Any

MOST_TOKENS = 10**9
"""A larger count is none."""


def usage_of(response: Any) -> tuple[int, int, int, int] | None:
    """(prompt tokens, of these cached, completion tokens including reasoning, of these reasoning); None without counts.

    Some servers do not include reasoning in completion_tokens; total_tokens shows which.
    """
    usage = response.get("usage") if isinstance(response, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    cached = _count(_detail(usage, "prompt_tokens_details", "cached_tokens"))
    if cached is None:
        cached = _count(usage.get("prompt_cache_hit_tokens")) or 0
    reasoning = _count(_detail(usage, "completion_tokens_details", "reasoning_tokens")) or 0
    total = _count(usage.get("total_tokens"))
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    return prompt, min(cached, prompt), completion, reasoning


def _detail(usage: dict[str, Any], group: str, name: str) -> Any:
    details = usage.get(group)
    return details.get(name) if isinstance(details, dict) else None


def _count(value: Any) -> int | None:
    """A count that may be written as text or as a float; None if it is none."""
    if type(value) is int and 0 <= value <= MOST_TOKENS:
        return value
    if isinstance(value, str) and len(value) <= len(str(MOST_TOKENS)) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None
