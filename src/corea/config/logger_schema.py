"""Schemas of the group `logger`. The local files are always written; the logger adds a copy elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import check, checked, one_of


@dataclass
class LoggerConfig:
    """Fields of every logger."""

    _target_: str = MISSING
    """Class of the logger."""
    name: str = MISSING
    """Name of the choice."""


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
    """W&B project."""
    entity: Optional[str] = None
    """W&B user or team; null: the default of the account."""
    group: Optional[str] = None
    """W&B group of the run."""
    tags: list[str] = field(default_factory=list)
    """W&B tags of the run."""
    mode: str = checked("auto", one_of("auto", "online", "offline", "disabled"))
    """auto is online with an account, else offline."""

    def __post_init__(self) -> None:
        check(self, "logger")
