"""Schemas of the group `logger`. The local files are always written; the logger adds a copy elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import one_of


@dataclass
class LoggerConfig:
    """What every logger has."""

    _target_: str = MISSING
    name: str = MISSING


@dataclass
class NoLoggerConfig(LoggerConfig):
    """Local files only."""

    _target_: str = "corea.logger.NoLogger"
    name: str = "none"


@dataclass
class WandbConfig(LoggerConfig):
    """Weights & Biases; offline unless an account is configured."""

    _target_: str = "corea.logger.WandbLogger"
    name: str = "wandb"
    project: str = "corea"
    entity: Optional[str] = None
    group: Optional[str] = None
    tags: list[str] = field(default_factory=list)
    mode: str = "auto"
    """auto (online with an account, else offline), online, offline, disabled."""

    def __post_init__(self) -> None:
        one_of("logger.mode", self.mode, ("auto", "online", "offline", "disabled"))
