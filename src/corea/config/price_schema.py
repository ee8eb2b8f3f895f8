"""Schema of a price; without one, costs are unknown, which is not 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from corea.config.checks import above, at_least, require


@dataclass
class PriceConfig:
    """US dollars per million tokens; or, for a model of one's own, per GPU-hour at a measured throughput."""

    input: Optional[float] = None
    """Prompt tokens that were not cached; None: unknown, and so is every cost."""
    cached: Optional[float] = None
    """Cached prompt tokens; None: as `input`."""
    output: Optional[float] = None
    """Completion tokens, reasoning included; None: unknown, and so is every cost."""
    gpu_hour: Optional[float] = None
    """Dollars per GPU-hour; replaces the prices per token. Prompts are paid with the completions they end in."""
    gpus: int = 1
    """GPUs that serve the model."""
    tokens_per_s: Optional[float] = None
    """Completion tokens per second that all of them reach together, measured under the real load."""
    source: str = ""
    """Where the price was read, e.g. a URL, or "proportional to parameters"."""
    date: str = ""
    """When it was read, YYYY-MM-DD."""

    def __post_init__(self) -> None:
        at_least("price.input", self.input, 0)
        at_least("price.cached", self.cached, 0)
        at_least("price.output", self.output, 0)
        at_least("price.gpu_hour", self.gpu_hour, 0)
        at_least("price.gpus", self.gpus, 1)
        above("price.tokens_per_s", self.tokens_per_s, 0)
        both = (self.gpu_hour is None) == (self.tokens_per_s is None)
        require(both, "price.gpu_hour", self.gpu_hour, "given together with price.tokens_per_s")
