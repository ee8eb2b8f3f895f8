"""One root schema a verb. Every group is typed, so a wrong key or type fails while the configuration is composed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.answer_columns import ANSWER_COLUMNS
from corea.config.cascade_schema import CascadeConfig
from corea.config.checks import above, at_least, existing, one_of, require
from corea.config.data_schema import DataConfig
from corea.config.engine_schema import EngineConfig, ReplayEngineConfig
from corea.config.logger_schema import LoggerConfig
from corea.config.model_schema import ArchitectureConfig, LLMConfig, ModelConfig
from corea.config.reward_schema import RewardConfig
from corea.config.trainer_schema import SupervisedConfig, TrainerConfig

SIGNALS = ("verbalized", "expected", "avg_prob", "vote", "probe", "router")
AUDITORS = ("math", "numeric", "choice", "exact")
TEACHERS = ("direct_two_sided", "direct_unsure", "written_steps", "steps_unsure", "solution")


@dataclass
class TrainConfig:
    """python -m corea.train"""

    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        require(bool(self.data.train), "data.train", self.data.train, "at least one family to train on")


@dataclass
class SftConfig:
    """python -m corea.sft"""

    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    architecture: Optional[ArchitectureConfig] = None
    """Train this architecture from scratch instead of loading model.path."""
    data: DataConfig = field(default_factory=DataConfig)
    teacher: str = "direct_unsure"
    """Reference completions: direct_unsure, direct_two_sided, written_steps, steps_unsure, solution (a data set's)."""
    pairs: Optional[str] = existing()
    """JSONL or Parquet with prompt and completion columns; replaces `data` and `teacher`."""
    sft: SupervisedConfig = field(default_factory=SupervisedConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        one_of("teacher", self.teacher, TEACHERS)


@dataclass
class CollectConfig:
    """python -m corea.collect"""

    seed: int = 0
    run: Optional[str] = existing()
    """Run folder of corea.train: its model before and after RL answers; `model` and `data` default to those of the run.
    None: model.path alone, or engine=replay."""
    before: bool = True
    """Also answer with the model before RL, into answers_before.parquet."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    larger: dict[str, LLMConfig] = field(default_factory=dict)
    """Further tiers behind `llm`, in this order, each any choice of llm under a name of yours: +llm@larger.big=openai
    larger.big.model=..."""
    samples: int = 1
    """Completions per question and tier; a tier with temperature 0 gives one."""
    temperature: float = 0.0
    """Of the SLM."""
    signals: list[str] = field(default_factory=lambda: ["verbalized"])
    """Confidence signals of the SLM: verbalized, expected, avg_prob, vote (needs samples > 1), probe, router. A tier
    with others behind it gives the first four where its engine can."""
    chunk: int = 256
    """Questions answered between two saves."""
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        at_least("samples", self.samples, 1)
        at_least("temperature", self.temperature, 0)
        at_least("chunk", self.chunk, 1)
        replayed = isinstance(self.engine, ReplayEngineConfig)
        require(not (self.run and replayed), "run", self.run, "nothing with engine=replay, which runs no model")
        greedy = self.samples > 1 and self.temperature == 0
        for signal in self.signals:
            one_of("signals", signal, SIGNALS)
        require(
            not replayed or self.signals == ["verbalized"], "signals", self.signals, "[verbalized] with engine=replay"
        )
        single = "vote" in self.signals and self.samples == 1
        require(not single, "signals", self.signals, "vote with samples=2 or more, e.g. samples=8, and a temperature")
        for name in self.larger:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None
            require(plain, "larger", name, "names of letters, digits, _ and -: files are called after them")
        require(not greedy, "samples", self.samples, "1 with temperature=0: greedy answers are all the same")


@dataclass
class EvaluateConfig:
    """python -m corea.evaluate"""

    answers: str = existing(MISSING)
    """Answers table: Parquet, JSONL, CSV, or a Hugging Face data set folder (saved to disk, or copied from the hub)."""
    columns: dict[str, str] = field(default_factory=lambda: {name: name for name in ANSWER_COLUMNS})
    """Where the table holds what, e.g. columns={correct:is_right}; a part of a nested column is named by dots, e.g.
    columns.text=response.0.text; a further signal is +columns.confidence_NAME=p."""
    confidence_scale: float = 1.0
    """Confidence that means certain: 1, or 100 for percentages."""
    before: Optional[str] = existing()
    """Answers table of the model before RL; None: `answers_before.parquet` beside `answers`, where there is one."""
    metrics: Optional[str] = existing()
    """metrics.jsonl for the training curves; None: the one beside `answers`, where there is one."""
    out: Optional[str] = None
    """Folder for the results; None: the folder of `answers`."""
    audit: Optional[str] = None
    """Regrade the recorded answers with this grader (math, numeric, choice, exact) and report where it disagrees; needs
    the columns gold and text or answer."""
    verdicts: str = "recorded"
    """Verdicts that all other figures rest on: recorded, or with `audit` regraded."""
    plots: bool = True
    """Draw plots/*.png and *.svg."""
    report: bool = True
    """Write report.html."""
    cascade: CascadeConfig = field(default_factory=CascadeConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)

    def __post_init__(self) -> None:
        if self.audit is not None:
            one_of("audit", self.audit, AUDITORS)
        above("confidence_scale", self.confidence_scale, 0)
        one_of("verdicts", self.verdicts, ("recorded", "regraded"))
        given = self.verdicts == "recorded" or self.audit is not None
        require(given, "verdicts", self.verdicts, "recorded, or regraded together with audit=math (or another grader)")
