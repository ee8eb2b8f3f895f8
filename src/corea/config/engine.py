"""Schemas of the group `engine`: what answers prompts. One dataclass an engine; `_target_` picks the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import at_least, require
from corea.config.price import PriceConfig
from corea.tasks.grading.names import allowed_graders, known_grader


@dataclass
class EngineConfig:
    """What every engine has."""

    _target_: str = MISSING
    name: str = MISSING


@dataclass
class HFEngineConfig(EngineConfig):
    """Our decode loop on the transformers model."""

    _target_: str = "corea.engines.hf.HFEngine"
    name: str = "hf"
    batch_rows: int = 256
    """Completions decoded together."""
    device: Optional[str] = None
    """None: cuda where there is one, else cpu."""

    def __post_init__(self) -> None:
        at_least("engine.batch_rows", self.batch_rows, 1)


RECORDED_COLUMNS = {
    "question_id": "question_id",
    "sample": "sample",
    "text": "text",
    "answer": "recorded_answer",
    "correct": "recorded_correct",
    "confidence": "recorded_confidence",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "completion_tokens",
    "retry_prompt_tokens": "retry_prompt_tokens",
    "retry_completion_tokens": "retry_completion_tokens",
    "latency_s": "latency_s",
    "cost_usd": "cost_usd",
}
"""What a recorded answer may hold -> the column that holds it. Only question_id and one of text, answer, correct are
needed."""
QUESTION_COLUMNS = {"question_id": "question_id", "question": "question", "gold": "gold", "split": "split"}


@dataclass
class ReplayEngineConfig(EngineConfig):
    """Recorded answers instead of a model. Recorded verdicts and confidences are used as they are."""

    _target_: str = "corea.engines.replay.ReplayEngine"
    name: str = "replay"
    questions: Optional[str] = None
    """Table with question_id, question, gold; None: the questions are those of the first tier."""
    tiers: list[str] = field(default_factory=list)
    """One table (JSONL, Parquet or CSV) a tier, smallest model first."""
    names: list[str] = field(default_factory=list)
    """Model names of the tiers; empty: the file names."""
    dataset: str = "replay"
    """Name of the dataset in the answers table."""
    columns: dict[str, str] = field(default_factory=lambda: dict(RECORDED_COLUMNS))
    """Where the tables of the tiers hold what."""
    question_columns: dict[str, str] = field(default_factory=lambda: dict(QUESTION_COLUMNS))
    """Where the table of the questions holds what."""
    grader: str = "math"
    """Judges answers without a recorded verdict; needs `questions` with gold."""
    prices: list[PriceConfig] = field(default_factory=list)
    """One a tier; empty: costs are unknown unless recorded."""
    tokenizer: Optional[str] = None
    """Hub id, local folder or "package:NAME": counts tokens where none were recorded (question and text alone)."""

    def __post_init__(self) -> None:
        require(known_grader(self.grader), "engine.grader", self.grader, allowed_graders())
        _known_keys("engine.columns", self.columns, RECORDED_COLUMNS)
        _known_keys("engine.question_columns", self.question_columns, QUESTION_COLUMNS)
        for key, values in (("names", self.names), ("prices", self.prices)):
            ok = not values or len(values) == len(self.tiers)
            require(ok, f"engine.{key}", values, f"none, or one for each of the {len(self.tiers)} engine.tiers")


def _known_keys(key: str, given: dict[str, str], allowed: dict[str, str]) -> None:
    unknown = sorted(given.keys() - allowed.keys())
    require(not unknown, key, unknown, "a column for " + ", ".join(allowed))
