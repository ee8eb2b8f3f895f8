"""Schemas of the groups `model` and `llm`: who answers, how it is prompted, and what a token costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, one_of
from corea.config.engine_schema import EngineConfig
from corea.config.price_schema import PriceConfig
from corea.tasks.grading.names import is_own
from corea.tasks.prompts import PROMPTS

DTYPES = ("auto", "float32", "bfloat16", "float16")


def revision_of(path: str, revision: Optional[str]) -> Optional[str]:
    """The revision of a model from the hub; None for a local folder or a packaged model, which has none."""
    return None if path.startswith("package:") or Path(path).expanduser().is_dir() else revision


def _known_prompt(key: str, name: str) -> None:
    """A prompt of corea, or the user's own."""
    if not is_own(name):
        one_of(key, name, (*PROMPTS, "module:name", "file.py:name"))


@dataclass
class ModelConfig:
    """The small model (SLM) that is trained and answers first."""

    name: str = MISSING
    path: str = MISSING
    """Hub id, local folder, or "package:NAME" for a model that ships with corea."""
    revision: Optional[str] = None
    """Commit or tag on the hub, of a model from there; those of the presets go with their paths."""
    dtype: str = "auto"
    """Weights while training: auto (bfloat16 where the device has it, else float32), float32, bfloat16, float16."""
    prompt: str = "confidence"
    """Name of a prompt in corea.tasks.prompts: plain and plain_answer (the bare question), answer, confidence,
    confidence_percent; or a prompt of your own, module:name or file.py:name."""
    template: dict[str, Any] = field(default_factory=dict)
    """Variables of the tokenizer's chat template, e.g. {enable_thinking: false}."""
    max_prompt_tokens: int = 1024
    """A longer prompt is an error that names the question."""
    max_tokens: int = 1024
    """Most new tokens of a completion."""
    price: PriceConfig = field(default_factory=PriceConfig)

    def __post_init__(self) -> None:
        one_of("model.dtype", self.dtype, DTYPES)
        _known_prompt("model.prompt", self.prompt)
        at_least("model.max_prompt_tokens", self.max_prompt_tokens, 1)
        at_least("model.max_tokens", self.max_tokens, 1)


@dataclass
class ArchitectureConfig:
    """A decoder trained from scratch by corea.sft (Llama architecture); unused with a given model."""

    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    feed_forward: int = 352

    def __post_init__(self) -> None:
        for key in ("hidden_size", "layers", "heads", "feed_forward"):
            at_least(f"architecture.{key}", getattr(self, key), 1)


@dataclass
class LLMConfig:
    """A larger tier of the cascade; `engine` says what runs it."""

    name: str = MISSING
    model: str = MISSING
    """Hub id, local folder, "package:NAME", or the model name that a server knows."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    """What runs it; receives model, dtype and revision."""
    revision: Optional[str] = None
    dtype: str = "auto"
    template: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template, e.g. {enable_thinking: false}; a server gets them as chat_template_kwargs."""
    prompt: str = "answer"
    """Prompt of this tier; one that asks for a confidence is needed only in a middle tier."""
    temperature: float = 0.0
    max_tokens: int = 2048
    price: PriceConfig = field(default_factory=PriceConfig)
    budget_usd: Optional[float] = None
    """Most dollars that a run folder's calls of a paid server may cost, all starts together; null: no limit."""
    dry_run: bool = False
    """Say what the calls would cost, and make none."""

    def __post_init__(self) -> None:
        at_least("llm.budget_usd", self.budget_usd, 0)
        one_of("llm.dtype", self.dtype, DTYPES)
        _known_prompt("llm.prompt", self.prompt)
        at_least("llm.temperature", self.temperature, 0)
        above("llm.max_tokens", self.max_tokens, 0)
