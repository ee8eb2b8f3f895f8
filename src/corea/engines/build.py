"""Engines from their configuration: `_target_` picks the class."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.utils import get_class

from corea.config.engine_schema import AutoEngineConfig, EngineConfig, HFEngineConfig, VLLMEngineConfig
from corea.config.model_schema import ModelConfig
from corea.config.price_schema import PriceConfig
from corea.errors import UserError
from corea.types import Engine

log = logging.getLogger(__name__)


def chosen(cfg: EngineConfig) -> EngineConfig:
    """engine=auto as what it stands for on this machine, said in a line of the log; any other as it is."""
    if not isinstance(cfg, AutoEngineConfig):
        return cfg
    import torch

    installed, gpu = importlib.util.find_spec("vllm") is not None, torch.cuda.is_available()
    found: EngineConfig = VLLMEngineConfig() if installed and gpu else HFEngineConfig()
    reason = f"vLLM is {'' if installed else 'not '}installed, there is {'a' if gpu else 'no'} GPU"
    log.info("engine=auto: %s (%s)", found.name, reason)
    return found


def engine_options(cfg: EngineConfig) -> dict[str, Any]:
    """What the constructor of its class takes."""
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
    ledger: Path | None = None,
) -> Engine:
    """The engine that `cfg` names, on the model `model`. The last three are for engines that pay for their calls."""
    cfg = chosen(cfg)
    target = get_class(cfg._target_)
    options = engine_options(cfg)
    if getattr(target, "paid", False):
        options |= {"price": price, "budget_usd": budget_usd, "ledger": ledger}
    return target(model=model, revision=revision, dtype=dtype, template=template, **options)


def sampling_engine(cfg: EngineConfig, model_cfg: ModelConfig, model, tokenizer) -> Engine:
    """The engine that `cfg` names, on the very module `model` that is trained.

    Raises:
        UserError: the engine cannot sample from a model in this process.
    """
    cfg = chosen(cfg)
    target = get_class(cfg._target_)
    if not hasattr(target, "from_model"):
        raise UserError(f"engine={cfg.name}: it cannot sample from the model that is being trained; take engine=hf")
    return target.from_model(
        model,
        tokenizer,
        path=model_cfg.path,
        revision=model_cfg.revision,
        model_name=model_cfg.name,
        template=model_cfg.template,
        **engine_options(cfg),
    )
