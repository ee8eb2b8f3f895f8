"""Schema of the group `data`: families of questions, each a weighted mix of sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, one_of, require, within
from corea.tasks.grading.names import allowed_graders, known_grader

SPLITS = ("train", "validation", "calibration", "test")


@dataclass
class SourceConfig:
    """One source of a mix: a reasoning-gym task, or a data set (a file or folder, or one of the hub)."""

    name: str = MISSING
    """Unique within the family; part of the question ids."""
    task: Optional[str] = None
    """reasoning-gym task name; None for a data set."""
    weight: float = 1.0
    """Share within the family, relative to the other sources."""
    params: dict[str, Any] = field(default_factory=dict)
    """Difficulty parameters of the task."""
    path: Optional[str] = None
    """Data set on this machine: a JSONL, Parquet or CSV file, or a folder of them; comes before `hub`."""
    hub: Optional[str] = None
    """Data set id on the Hugging Face hub."""
    revision: Optional[str] = None
    """Commit of the hub data set."""
    subset: Optional[str] = None
    """Name of its configuration."""
    splits: dict[str, Optional[str]] = field(
        default_factory=lambda: dict.fromkeys(("train", "calibration", "test"), "train")
    )
    """Which of the set's own splits serves train, validation, calibration and test; null: none. Without
    `validation`, it is the one for train. If one serves several, its questions are divided by a hash of their text,
    so that no question belongs to two splits."""
    calibration_share: float = 0.2
    """Share that goes to calibration, of a split that serves calibration and test but not train; likewise to
    validation."""
    limit: Optional[int] = None
    """At most so many questions for training, picked by a hash of their text."""
    grader: Optional[str] = None
    """exact, numeric, math, choice, or module:function of your own; None: reasoning_gym for tasks, choice where there
    are options, else math."""
    columns: dict[str, str] = field(default_factory=dict)
    """Which column holds question, gold, question_id, options, solution; any other key goes into the question's meta.
    `a.b` is a column within a column, `a|b` the first that there is."""
    option_columns: list[str] = field(default_factory=list)
    """Columns with one option each, the right one first; they are shuffled by a hash of the question."""
    where: dict[str, Any] = field(default_factory=dict)
    """Column -> the value, or the list of values, that a row must have."""
    between: dict[str, list[float]] = field(default_factory=dict)
    """Column -> [lowest, highest] number that a row must have."""

    def __post_init__(self) -> None:
        where = f"data source {self.name}"
        above(f"{where}.weight", self.weight, 0)
        within(f"{where}.calibration_share", self.calibration_share, 0, 1)
        at_least(f"{where}.limit", self.limit, 1)
        if self.grader is not None:
            require(known_grader(self.grader), f"{where}.grader", self.grader, allowed_graders())
        gym = self.grader == "reasoning_gym"
        require(
            self.grader is None or gym == (self.task is not None),
            f"{where}.grader",
            self.grader,
            "reasoning_gym for a task, any other for a data set",
        )
        unknown = sorted(set(self.splits) - set(SPLITS))
        require(not unknown, f"{where}.splits", unknown, "a mapping of " + ", ".join(SPLITS))
        kinds = [self.task is not None, self.path is not None or self.hub is not None]
        require(sum(kinds) == 1, where, "?" if not any(kinds) else "both", "a task, or a path or hub data set")
        for column, bounds in self.between.items():
            require(len(bounds) == 2, f"{where}.between.{column}", bounds, "[lowest, highest]")


@dataclass
class FamilyConfig:
    """Questions that are trained on, calibrated on or reported together."""

    sources: list[SourceConfig] = field(default_factory=list)
    weight: float = 1.0
    """Share in training, relative to the other families named in `data.train`."""
    calibration: Optional[int] = 500
    """Questions on which thresholds are chosen; null: all that its data sets have."""
    test: Optional[int] = 500
    """Questions on which results are reported; null: all that its data sets have."""

    def __post_init__(self) -> None:
        above("data.families.*.weight", self.weight, 0)
        at_least("data.families.*.calibration", self.calibration, 0)
        at_least("data.families.*.test", self.test, 0)


@dataclass
class GradingConfig:
    """Limits of the processes that grade mathematics and call graders of the user's."""

    seconds: float = 3.0
    """Processor time an answer may take; in wall-clock time twenty times that."""
    memory_mb: int = 1024
    """Private memory of one process."""
    workers: int = 0
    """Processes; 0: one a processor, at most 8."""

    def __post_init__(self) -> None:
        above("data.grading.seconds", self.seconds, 0)
        at_least("data.grading.memory_mb", self.memory_mb, 256)
        at_least("data.grading.workers", self.workers, 0)


@dataclass
class DataConfig:
    """A mix of families."""

    name: str = MISSING
    seed: int = 0
    """Seed of the held-out questions; training draws from `seed` of the run."""
    train: list[str] = field(default_factory=list)
    """Families that training draws from; the others are only tested."""
    families: dict[str, FamilyConfig] = field(default_factory=dict)
    path: Optional[str] = None
    """Local copies of the data sets: a folder with a file or folder named as each source, or the file or folder of the
    only one. None: the hub."""
    duplicates: str = "drop"
    """Training questions of data sets that repeat another: drop, or count."""
    contamination: str = "drop"
    """Training questions of data sets that are, or share 13 words in a row with, a held-out question: drop, count, or
    off."""
    grading: GradingConfig = field(default_factory=GradingConfig)

    def __post_init__(self) -> None:
        one_of("data.duplicates", self.duplicates, ("drop", "count"))
        one_of("data.contamination", self.contamination, ("drop", "count", "off"))
        unknown = [f for f in self.train if f not in self.families]
        require(not unknown, "data.train", self.train, "a list of " + ", ".join(self.families))
