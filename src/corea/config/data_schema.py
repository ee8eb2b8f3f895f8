"""Schema of the group `data`: families of questions, each a weighted mix of sources (docs/data.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

from corea.config.allowed_names import GRADER
from corea.config.checks import above, at_least, check, checked, nested, one_of, require, within

SPLITS = ("train", "validation", "calibration", "test")


@dataclass
class SourceConfig:
    """One source of a mix: a reasoning-gym task, or a data set (a file or folder, or one of the hub)."""

    name: str = MISSING
    """Unique within the family; part of the question ids."""
    task: Optional[str] = None
    """reasoning-gym task name; null for a data set."""
    weight: float = checked(1.0, above(0))
    """Share within the family, relative to the other sources."""
    params: dict[str, Any] = field(default_factory=dict)
    """Difficulty parameters of the task."""
    path: Optional[str] = None
    """Data set on this machine: a JSONL, Parquet or CSV file, or a folder of them; takes precedence over `hub`."""
    hub: Optional[str] = None
    """Data set id on the Hugging Face hub."""
    revision: Optional[str] = None
    """Commit of the hub data set."""
    subset: Optional[str] = None
    """Name of the hub data set's configuration."""
    splits: dict[str, Optional[str]] = field(
        default_factory=lambda: dict.fromkeys(("train", "calibration", "test"), "train")
    )
    """The data set's own split used for each of train, validation, calibration and test; null: none. If `validation`
    is absent, the one for train is used. If one split has several uses, a hash of the text divides its questions, so
    that no question belongs to two splits."""
    calibration_share: float = checked(0.2, within(0, 1))
    """Share of calibration in a split that is used for calibration and test, and not for training; likewise the share
    of validation."""
    limit: Optional[int] = checked(None, at_least(1))
    """Maximum number of training questions, picked by a hash of their text."""
    grader: Optional[str] = checked(None, GRADER)
    """Grader of the answers; null: reasoning_gym for tasks, choice if there are options, else math."""
    columns: dict[str, str] = field(default_factory=dict)
    """Which column holds question, gold, question_id, options, solution; any other key goes into the question's meta.
    `a.b` is a column within a column, `a|b` the first one that exists."""
    option_columns: list[str] = field(default_factory=list)
    """Columns with one option each, the right one first; they are shuffled by a hash of the question."""
    where: dict[str, Any] = field(default_factory=dict)
    """Column -> the value, or the list of values, that a row must have."""
    between: dict[str, list[float]] = field(default_factory=dict)
    """Column -> [lowest, highest] number that a row must have."""

    def __post_init__(self) -> None:
        where = f"data source {self.name}"
        check(self, where)
        gym = self.grader == "reasoning_gym"
        fits = self.grader is None or gym == (self.task is not None)
        require(fits, f"{where}.grader", self.grader, "reasoning_gym for a task, any other for a data set")
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
    """The sources of the questions."""
    weight: float = checked(1.0, above(0))
    """Share in training, relative to the other families named in `data.train`."""
    calibration: Optional[int] = checked(500, at_least(0))
    """Number of questions on which thresholds are chosen; null: all that its data sets have."""
    test: Optional[int] = checked(500, at_least(0))
    """Number of questions on which results are reported; null: all that its data sets have."""

    def __post_init__(self) -> None:
        check(self, "data.families.*")


@dataclass
class GradingConfig:
    """What counts as an answer, and limits of the processes that run the math grader and the user's own graders."""

    seconds: float = checked(3.0, above(0))
    """Processor time per answer; the limit in wall-clock time is twenty times that."""
    memory_mb: int = checked(1024, at_least(256))
    """Private memory per process."""
    workers: int = checked(0, at_least(0))
    """Number of processes; 0: one per processor, at most 8."""
    unevaluated: str = checked("wrong", one_of("wrong", "right"))
    """Verdict of an answer that equals the gold but is not evaluated, e.g. 17*23 for 391, or an integral."""

    def __post_init__(self) -> None:
        check(self, "data.grading")


@dataclass
class DataConfig:
    """A mix of families."""

    name: str = MISSING
    """Name of the choice."""
    seed: int = 0
    """Seed of the held-out questions; training samples with the `seed` of the run."""
    train: list[str] = field(default_factory=list)
    """Families that training samples from; the others are only tested."""
    families: dict[str, FamilyConfig] = field(default_factory=dict)
    """The families, by name."""
    path: Optional[str] = None
    """Local copies of the data sets: a folder that holds a file or folder with the name of each source, or the file or
    folder of the only source. null: load from the hub."""
    duplicates: str = checked("drop", one_of("drop", "count"))
    """What happens to training questions of data sets that repeat another training question."""
    contamination: str = checked("drop", one_of("drop", "count", "off"))
    """What happens to training questions of data sets that equal a held-out question or share 13 words in a row with
    one; off: not checked."""
    grading: GradingConfig = nested(GradingConfig)
    """Limits of the grading processes."""

    def __post_init__(self) -> None:
        check(self, "data")
        unknown = [f for f in self.train if f not in self.families]
        require(not unknown, "data.train", self.train, "a list of " + ", ".join(self.families))
