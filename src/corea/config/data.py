"""Schema of the group `data`: families of questions, each a weighted mix of sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, require


@dataclass
class SourceConfig:
    """One source of a mix."""

    name: str = MISSING
    """Unique within the family; part of the question ids."""
    task: Optional[str] = None
    """reasoning-gym task name; None for a file or hub data set."""
    weight: float = 1.0
    """Share within the family, relative to the other sources."""
    params: dict[str, Any] = field(default_factory=dict)
    """Difficulty parameters of the task."""
    path: Optional[str] = None
    """JSONL or Parquet file, or hub data set id."""
    grader: Optional[str] = None
    """exact, numeric, math, choice, reasoning_gym; None: reasoning_gym for tasks, else math."""
    columns: dict[str, str] = field(default_factory=dict)
    """Which column of a file holds question, gold, question_id."""

    def __post_init__(self) -> None:
        above(f"data source {self.name}.weight", self.weight, 0)


@dataclass
class FamilyConfig:
    """Questions that are trained on, calibrated on or reported together."""

    sources: list[SourceConfig] = field(default_factory=list)
    weight: float = 1.0
    """Share in training, relative to the other families named in `data.train`."""
    calibration: int = 500
    """Questions on which thresholds are chosen."""
    test: int = 500
    """Questions on which results are reported."""

    def __post_init__(self) -> None:
        above("data.families.*.weight", self.weight, 0)
        at_least("data.families.*.calibration", self.calibration, 0)
        at_least("data.families.*.test", self.test, 0)


@dataclass
class DataConfig:
    """A mix of families."""

    name: str = MISSING
    seed: int = 0
    """Seed of the held-out questions; training draws from `seed` of the run."""
    train: list[str] = field(default_factory=list)
    """Families that training draws from; the others are only tested."""
    families: dict[str, FamilyConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [f for f in self.train if f not in self.families]
        require(not unknown, "data.train", self.train, "a list of " + ", ".join(self.families))
