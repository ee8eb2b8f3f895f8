"""Builds engines from their configuration: `_target_` names the class."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corea.config.engine_schema import (
    AutoEngineConfig,
    EngineConfig,
    HFEngineConfig,
    OwnEngineConfig,
    VLLMEngineConfig,
)
from corea.config.model_schema import ModelConfig
from corea.config.price_schema import PriceConfig
from corea.engines.protocols import TrainingEngine, TrainingEngineFactory
from corea.engines.remote.ledger import Ledger
from corea.errors import UserError
from corea.types import Engine
from corea.user_code import load_function

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)


def resolve_engine(cfg: EngineConfig) -> EngineConfig:
    """Resolve engine=auto for this machine and log the choice; return others unchanged."""
    if not isinstance(cfg, AutoEngineConfig):
        return cfg
    import torch

    installed, gpu = importlib.util.find_spec("vllm") is not None, torch.cuda.is_available()
    resolved: EngineConfig = VLLMEngineConfig() if installed and gpu else HFEngineConfig()
    reason = f"vLLM is {'' if installed else 'not '}installed, there is {'a' if gpu else 'no'} GPU"
    log.info("engine=auto: %s (%s)", resolved.name, reason)
    return resolved


def refuse_ray(**_: Any) -> Engine:
    """`_target_` of engine=ray, which is no engine of its own but runs the tiers of corea.collect and corea.answer.

    Raises:
        UserError: always.
    """
    raise UserError(
        "engine=ray: allowed as `engine` of corea.collect and corea.answer; a single tier has another engine"
    )


def engine_options(cfg: EngineConfig) -> dict[str, Any]:
    """Keyword arguments of the engine's class: the fields of its schema, or the `params` of the user's own engine."""
    if isinstance(cfg, OwnEngineConfig):
        return dict(cfg.params)
    return {f.name: getattr(cfg, f.name) for f in fields(cfg) if f.name not in ("_target_", "name")}


def build_engine(
    cfg: EngineConfig,
    *,
    model: str,
    revision: str | None = None,
    dtype: str = "auto",
    template: Mapping[str, Any] | None = None,
    price: PriceConfig | None = None,
    budget_usd: float | None = None,
    ledger: Path | Ledger | None = None,
) -> Engine:
    """The configured engine on the model named `model`. The last three arguments are for paid engines.

    Raises:
        UserError: `_target_` cannot be loaded, or the engine cannot be built.
    """
    cfg = resolve_engine(cfg)
    target = load_function("engine._target_", cfg._target_)
    options = engine_options(cfg)
    if getattr(target, "paid", False):
        options |= {"price": price, "budget_usd": budget_usd, "ledger": ledger}
    return target(model=model, revision=revision, dtype=dtype, template=template, **options)


def build_training_engine(
    cfg: EngineConfig, model_cfg: ModelConfig, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> TrainingEngine:
    """The configured engine on the module `model`, which is trained in this process.

    Raises:
        UserError: `_target_` cannot be loaded, or the engine cannot sample from a model in training.
    """
    cfg = resolve_engine(cfg)
    target = load_function("engine._target_", cfg._target_)
    if not isinstance(target, TrainingEngineFactory):
        raise UserError(f"engine={cfg.name}: cannot sample from the model in training (no from_model); take engine=hf")
    engine = target.from_model(
        model,
        tokenizer,
        path=model_cfg.path,
        revision=model_cfg.revision,
        model_name=model_cfg.name,
        template=model_cfg.template,
        **engine_options(cfg),
    )
    if not isinstance(engine, TrainingEngine):
        lacking = [
            name for name in ("model_name", "generate", "close", "max_logprob_gap", "sync") if not hasattr(engine, name)
        ]
        raise UserError(f"engine._target_={cfg._target_}: an engine that trains needs {', '.join(lacking)}")
    return engine
