"""Schemas of the groups `model` and `llm`: which model answers, its prompt, and the price of a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from omegaconf import MISSING

from corea.config.allowed_names import PROMPT
from corea.config.checks import at_least, check, checked, nested, one_of
from corea.config.engine_schema import EngineConfig
from corea.config.price_schema import PriceConfig

DTYPES = ("auto", "float32", "bfloat16", "float16")


def revision_of(path: str, revision: Optional[str]) -> Optional[str]:
    """The revision of a model from the hub; None for a local folder or a packaged model, which has none."""
    return None if path.startswith("package:") or Path(path).expanduser().is_dir() else revision


@dataclass
class ModelConfig:
    """The small model (SLM) that is trained and answers first."""

    name: str = MISSING
    """Name of the choice."""
    path: str = MISSING
    """Hub id, local folder, or "package:NAME" for a model that ships with corea."""
    revision: Optional[str] = None
    """Commit or tag of a model on the hub; change it together with `path`."""
    dtype: str = checked("auto", one_of(*DTYPES))
    """Type of the weights in training; auto is bfloat16 if the device supports it, else float32."""
    prompt: str = checked("confidence", PROMPT)
    """Name of a prompt: plain and plain_answer (the bare question), answer, confidence, confidence_percent;
    or a prompt of your own, module:name or file.py:name."""
    template: dict[str, Any] = field(default_factory=dict)
    """Variables of the tokenizer's chat template, e.g. {enable_thinking: false}."""
    max_prompt_tokens: int = checked(1024, at_least(1))
    """Maximum prompt length; a longer prompt is an error that names the question."""
    max_tokens: int = checked(1024, at_least(1))
    """Maximum new tokens per completion."""
    price: PriceConfig = nested(PriceConfig)
    """Price of the model's tokens."""

    def __post_init__(self) -> None:
        check(self, "model")


@dataclass
class ArchitectureConfig:
    """A decoder that corea.sft trains from scratch (Llama architecture); unused with a pretrained model."""

    hidden_size: int = checked(128, at_least(1))
    """Width of the hidden states."""
    layers: int = checked(4, at_least(1))
    """Number of decoder layers."""
    heads: int = checked(4, at_least(1))
    """Attention heads per layer."""
    feed_forward: int = checked(352, at_least(1))
    """Width of the feed-forward layers."""
    tokenizer: str = checked("tiny", one_of("tiny", "broad"))
    """Bytes, and one token per phrase of the tasks of the tiny pair or of the broad pair."""

    def __post_init__(self) -> None:
        check(self, "architecture")


@dataclass
class LLMConfig:
    """A larger tier of the cascade."""

    name: str = MISSING
    """Name of the tier."""
    model: str = MISSING
    """Hub id, local folder, "package:NAME", or the server's name of the model."""
    engine: EngineConfig = nested(EngineConfig)
    """Engine that runs the model; receives `model`, `dtype` and `revision`."""
    revision: Optional[str] = None
    """Commit or tag of a model on the hub."""
    dtype: str = checked("auto", one_of(*DTYPES))
    """Type of the weights; auto is bfloat16 if the device supports it, else float32."""
    template: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template, e.g. {enable_thinking: false}; a server gets them as chat_template_kwargs."""
    prompt: str = checked("answer", PROMPT)
    """Name of a prompt; only a middle tier needs one that asks for a confidence."""
    temperature: float = checked(0.0, at_least(0))
    """Sampling temperature; 0 is greedy decoding."""
    max_tokens: int = checked(2048, at_least(1))
    """Maximum new tokens per completion."""
    price: PriceConfig = nested(PriceConfig)
    """Price of the model's tokens."""
    budget_usd: Optional[float] = checked(None, at_least(0))
    """Maximum dollars that all calls of a paid server for one run folder may cost; null: no limit."""
    dry_run: bool = False
    """Print the estimated cost of the calls without making any."""

    def __post_init__(self) -> None:
        check(self, "llm")
