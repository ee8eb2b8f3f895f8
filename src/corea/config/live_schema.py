"""Schemas of a cascade that answers new questions: changes of its tiers, and what happens where it cannot answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from corea.config.allowed_names import PROMPT
from corea.config.checks import at_least, check, checked, nested, one_of
from corea.config.engine_schema import EngineConfig
from corea.config.model_schema import DTYPES
from corea.config.price_schema import PriceConfig


@dataclass
class LiveTierConfig:
    """Changes of one tier of the operating point; null: as recorded."""

    model: Optional[str] = None
    """Hub id, local folder, "package:NAME", or the model name that a server knows."""
    engine: Optional[EngineConfig] = None
    """Engine that runs the model: +engine@tiers.1.engine=openai."""
    revision: Optional[str] = None
    """Commit or tag of a model on the hub."""
    dtype: Optional[str] = checked(None, one_of(*DTYPES))
    """Type of the weights."""
    prompt: Optional[str] = checked(None, PROMPT)
    """Name of the prompt. Another one than the recorded needs answer.unbound=true."""
    temperature: Optional[float] = checked(None, at_least(0))
    """Sampling temperature. Another one than the recorded needs answer.unbound=true."""
    max_tokens: Optional[int] = checked(None, at_least(1))
    """Maximum new tokens. Another limit than the recorded needs answer.unbound=true."""
    price: PriceConfig = nested(PriceConfig)
    """Price of the model's tokens; without any value: as recorded."""

    def __post_init__(self) -> None:
        check(self, "tiers.N")


def unchanged_tiers() -> dict[str, LiveTierConfig]:
    """Tiers 0 to 3 as recorded: Hydra changes a key only where there is one."""
    return {str(tier): nested(LiveTierConfig).default_factory() for tier in range(4)}


@dataclass
class LivePolicyConfig:
    """What happens where the cascade cannot answer as it was calibrated."""

    unbound: bool = False
    """Run although weights, prompt, temperature or token limit differ from those of the operating point, or cannot be
    compared; every row is marked."""
    on_llm_failure: str = checked("error", one_of("error", "slm"))
    """Result where the tier that should answer fails: an error row, which is asked again at the next start, or the
    answer of the tier before, marked as such."""
    on_budget: str = checked("stop", one_of("stop", "slm"))
    """What happens when the budget is reached: stop, with all answers kept, or the answer of the tier before."""
    uncalibrated: str = checked("reject", one_of("reject", "llm"))
    """Questions of a dataset that the operating point does not know: refuse them, or let the last tier answer them."""

    def __post_init__(self) -> None:
        check(self, "answer")
