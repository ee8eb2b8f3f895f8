"""Engines from their configuration: `_target_` picks the class."""

from __future__ import annotations

from dataclasses import fields

from hydra.utils import get_class

from corea.config.engine import EngineConfig
from corea.types import Engine


def build_engine(cfg: EngineConfig, *, model: str, revision: str | None = None, dtype: str = "auto") -> Engine:
    """The engine that `cfg` names, on the model `model`."""
    options = {f.name: getattr(cfg, f.name) for f in fields(cfg) if f.name not in ("_target_", "name")}
    return get_class(cfg._target_)(model=model, revision=revision, dtype=dtype, **options)
