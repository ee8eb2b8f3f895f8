"""Schema of a price. Without one, costs are unknown, which is not 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from corea.config.checks import above, at_least, check, checked, require


@dataclass
class PriceConfig:
    """US dollars per million tokens; or, for a self-hosted model, per GPU-hour at a measured throughput."""

    input: Optional[float] = checked(None, at_least(0))
    """Dollars per million prompt tokens that were not cached; null: unknown, so that every cost is unknown."""
    cached: Optional[float] = checked(None, at_least(0))
    """Dollars per million cached prompt tokens; null: same as `input`."""
    output: Optional[float] = checked(None, at_least(0))
    """Dollars per million completion tokens, reasoning included; null: unknown, so that every cost is unknown."""
    gpu_hour: Optional[float] = checked(None, at_least(0))
    """Dollars per GPU-hour; replaces the prices per token. The price of the completions covers their prompts."""
    gpus: int = checked(1, at_least(1))
    """Number of GPUs that serve the model."""
    tokens_per_s: Optional[float] = checked(None, above(0))
    """Completion tokens per second of all GPUs together, measured under the real load."""
    source: str = ""
    """Source of the price, e.g. a URL, or "proportional to parameters"."""
    date: str = ""
    """Date of the price, YYYY-MM-DD."""

    def __post_init__(self) -> None:
        check(self, "price")
        both = (self.gpu_hour is None) == (self.tokens_per_s is None)
        require(both, "price.gpu_hour", self.gpu_hour, "given together with price.tokens_per_s")
