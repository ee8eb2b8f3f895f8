"""The root schemas of the verbs (of corea.serve and corea.publish: serve_schema.py, publish_schema.py).

Every group is typed, so a wrong key or type fails while the configuration is composed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.allowed_names import DISPLAYS, GRADER, SIGNALS
from corea.config.answer_columns import ANSWER_COLUMNS
from corea.config.cascade_schema import CascadeConfig
from corea.config.checks import above, at_least, check, checked, existing, nested, one_of, require
from corea.config.data_schema import DataConfig
from corea.config.engine_schema import EngineConfig, ReplayEngineConfig
from corea.config.live_schema import LivePolicyConfig, LiveTierConfig, unchanged_tiers
from corea.config.logger_schema import LoggerConfig
from corea.config.model_schema import ArchitectureConfig, LLMConfig, ModelConfig
from corea.config.ray_schema import RayEngineConfig
from corea.config.reward_schema import RewardConfig
from corea.config.trainer_schema import SupervisedConfig, TrainerConfig
from corea.config.wide_schema import WideTierConfig

AUDITORS = ("math", "numeric", "choice", "exact")
TEACHERS = ("direct_two_sided", "direct_answer", "direct_unsure", "written_steps", "steps_unsure", "solution")


@dataclass
class TrainConfig:
    """python -m corea.train"""

    seed: int = checked(0, at_least(0))
    """Seed of the training questions and of sampling."""
    model: ModelConfig = nested(ModelConfig)
    """The model that is trained."""
    data: DataConfig = nested(DataConfig)
    """The questions."""
    reward: RewardConfig = nested(RewardConfig)
    """The reward."""
    trainer: TrainerConfig = nested(TrainerConfig)
    """The RL loop."""
    engine: EngineConfig = nested(EngineConfig)
    """Engine that samples the rollouts."""
    logger: LoggerConfig = nested(LoggerConfig)
    """Where results go besides the run folder."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")
        require(bool(self.data.train), "data.train", self.data.train, "at least one family to train on")


@dataclass
class SftConfig:
    """python -m corea.sft"""

    seed: int = 0
    """Seed of the examples."""
    model: ModelConfig = nested(ModelConfig)
    """The model that is trained."""
    architecture: Optional[ArchitectureConfig] = None
    """Architecture of a model that is trained from scratch; null: load model.path."""
    data: DataConfig = nested(DataConfig)
    """The questions."""
    teacher: str = checked("direct_unsure", one_of(*TEACHERS))
    """How reference completions are made; solution uses those of a data set."""
    pairs: Optional[str] = existing()
    """JSONL or Parquet with prompt and completion columns; replaces `data` and `teacher`."""
    sft: SupervisedConfig = nested(SupervisedConfig)
    """Supervised training."""
    logger: LoggerConfig = nested(LoggerConfig)
    """Where results go besides the run folder."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")


@dataclass
class CollectConfig:
    """python -m corea.collect"""

    seed: int = 0
    """Seed of sampling."""
    run: Optional[str] = existing()
    """Run folder of corea.train: its model before and after RL answers; `model` and `data` default to those of the run.
    null: model.path alone, or engine=replay."""
    before: bool = True
    """Also answer with the model before RL, into answers_before.parquet."""
    fit_without_llm: bool = False
    """The last tier does not answer the half of the calibration questions on which signals are fitted (split "fit"):
    fitting needs the answers of the small model alone. For cascade.signal=combined, probe or router; for other signals,
    thresholds are then chosen on the other half only."""
    model: ModelConfig = nested(ModelConfig)
    """The small model."""
    data: DataConfig = nested(DataConfig)
    """The questions."""
    engine: EngineConfig = nested(EngineConfig)
    """Engine of the small model."""
    llm: LLMConfig = nested(LLMConfig)
    """The large model."""
    larger: dict[str, LLMConfig] = field(default_factory=dict)
    """Further tiers after `llm`, in this order, each any choice of llm under a name: +llm@larger.big=openai
    larger.big.model=..."""
    samples: int = checked(1, at_least(1))
    """Completions per question and tier; a tier with temperature 0 gives one."""
    temperature: float = checked(0.0, at_least(0))
    """Sampling temperature of the small model."""
    signals: list[str] = checked(factory=lambda: ["verbalized"], allowed=one_of(*SIGNALS), each=True)
    """Confidence signals of the small model; vote needs samples > 1. A larger tier that defers to another one gets the
    signals other than probe and router, if its engine supports them."""
    chunk: int = checked(256, at_least(1))
    """Questions answered between two saves."""
    logger: LoggerConfig = nested(LoggerConfig)
    """Where results go besides the run folder."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")
        replayed = isinstance(self.engine, ReplayEngineConfig)
        require(not (self.run and replayed), "run", self.run, "nothing with engine=replay, which runs no model")
        computed = replayed and self.signals != ["verbalized"]
        require(not computed, "signals", self.signals, "[verbalized] with engine=replay")
        single = "vote" in self.signals and self.samples == 1
        require(not single, "signals", self.signals, "vote with samples=2 or more, e.g. samples=8, and a temperature")
        for name in self.larger:
            plain = re.fullmatch(r"[A-Za-z0-9_-]+", name) is not None
            require(plain, "larger", name, "names of letters, digits, _ and -: files are named after them")
        if isinstance(self.engine, RayEngineConfig):
            self.engine.require_tiers(2 + len(self.larger))
        greedy = self.samples > 1 and self.temperature == 0
        require(not greedy, "samples", self.samples, "1 with temperature=0: greedy answers are all the same")


@dataclass
class ResultsConfig:
    """What a verb writes besides its tables."""

    plots: bool = True
    """Draw plots/*.png and *.svg."""
    report: bool = True
    """Write the page of the results: report.html, or comparison.html of corea.compare."""
    logger: LoggerConfig = nested(LoggerConfig)
    """Where results go besides the folder."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""


@dataclass
class AnswersSourceConfig:
    """What an evaluation reads, and the verdicts that it uses."""

    answers: str = existing(MISSING)
    """Answers table: Parquet, JSONL, CSV, a Hugging Face data set folder (saved to disk, or copied from the hub), or
    the served log of a server."""
    columns: dict[str, str] = field(default_factory=lambda: {name: name for name in ANSWER_COLUMNS})
    """Column of corea -> column of the table, e.g. columns={correct:is_right}; a part of a nested column is named by
    dots, e.g. columns.text=response.0.text; a further signal is +columns.confidence_NAME=p."""
    tiers: list[WideTierConfig] = field(default_factory=list)
    """Wide table with one row per question: the columns of each tier, smallest model first, e.g.
    tiers=[{name: small, correct: small_right, confidence: small_prob, cost_usd: small_cost}, {name: large, ...}].
    Empty: one row per question and tier."""
    pick: Optional[str] = None
    """Filter, scorer or metric that gives the verdicts where a file of another tool has several; null: the one that the
    log line names."""
    confidence_scale: float = checked(1.0, above(0))
    """Value of a confidence that means certain: 1, or 100 for percentages."""
    before: Optional[str] = existing()
    """Answers table of the model before RL; null: `answers_before.parquet` beside `answers`, if there is one."""
    metrics: Optional[str] = existing()
    """metrics.jsonl for the training curves; null: the one beside `answers`, if there is one."""
    audit: Optional[str] = checked(None, one_of(*AUDITORS))
    """Regrade the recorded answers with this grader and report where it disagrees; needs the columns gold and text or
    answer."""
    verdicts: str = checked("recorded", one_of("recorded", "regraded"))
    """Verdicts that all other figures use; regraded needs `audit`."""


@dataclass
class EvaluateConfig(ResultsConfig, AnswersSourceConfig):
    """python -m corea.evaluate"""

    out: Optional[str] = None
    """Folder for the results; null: the folder of `answers`, or `evaluation` inside a served log."""
    former: Optional[str] = existing()
    """Run folder or metrics.json of a former corea.evaluate that the results are compared with."""
    cascade: CascadeConfig = nested(CascadeConfig)
    """Signal, threshold rule and intervals."""

    def __post_init__(self) -> None:
        check(self, "")
        require(len(self.tiers) != 1, "tiers", [t.name for t in self.tiers], "none, or two tiers and more")
        given = self.verdicts == "recorded" or self.audit is not None
        require(given, "verdicts", self.verdicts, "recorded, or regraded together with audit=math (or another grader)")


@dataclass
class ComparedRunsConfig:
    """What is compared."""

    runs: list[str] = field(default_factory=list)
    """Run folders and answers tables, e.g. runs=[outputs/a,outputs/b,answers.parquet]."""
    sweep: Optional[str] = existing()
    """Folder whose run folders are compared, e.g. that of `corea.train -m`; in addition to `runs`."""
    metrics: list[str] = field(default_factory=list)
    """Metrics of the table, e.g. metrics=[slm/ece,max_drop/cost_change,validation/auroc]; the last part of a name is
    enough. Empty: pass@1, ECE, AUROC, area_gain, and changes of accuracy and cost by the configured rule."""
    datasets: list[str] = field(default_factory=list)
    """Datasets of the table, "pooled" for all as one, "training" for metrics.jsonl; empty: all but pooled."""
    reference: Optional[str] = None
    """Run, or label of a group, that the others are compared with; null: the first one."""
    ignore: list[str] = field(default_factory=list)
    """Keys of the configuration that do not separate groups, with all keys below them; `seed` never does."""
    differences: bool = True
    """Differences from `reference`, with intervals from the answers to the same questions."""


@dataclass
class CompareConfig(ResultsConfig, ComparedRunsConfig):
    """python -m corea.compare"""

    out: Optional[str] = None
    """Folder for the results; null: SWEEP/comparison, or hydra.run.dir."""
    cascade: CascadeConfig = nested(CascadeConfig)
    """Evaluation of answers tables given in `runs`; its level, resamples and seed are those of every interval."""

    def __post_init__(self) -> None:
        check(self, "")
        enough = len(self.runs) > 1 or self.sweep is not None
        require(enough, "runs", self.runs, "two runs or more, or sweep=FOLDER")


@dataclass
class AnswerConfig:
    """python -m corea.answer"""

    questions: str = MISSING
    """Questions: JSONL, Parquet or CSV with one row per question, or - for standard input with one question a line."""
    operating_point: str = existing(MISSING)
    """operating_point.json of corea.evaluate: tiers, signal and thresholds."""
    question_column: str = "question"
    """Column that holds the question."""
    id_column: str = "question_id"
    """Column of the question's id; without one, the id is a hash of the text."""
    gold_column: str = "gold"
    """Column of the reference answer; without one, nothing is graded."""
    dataset_column: str = "dataset"
    """Column that names the question's dataset in the operating point; without one, all have `dataset`."""
    dataset: Optional[str] = None
    """Dataset whose thresholds apply; null: dataset_column, or the operating point's primary dataset."""
    grader: str = checked("math", GRADER)
    """Grader of answers to questions with a reference answer."""
    tiers: dict[str, LiveTierConfig] = field(default_factory=unchanged_tiers)
    """Number of a tier -> its changes, e.g. tiers.1.model=outputs/llm; +engine@tiers.1.engine=openai gives it another
    engine, and a tier above 3 its keys."""
    answer: LivePolicyConfig = nested(LivePolicyConfig)
    """What happens where the cascade cannot answer as it was calibrated."""
    engine: Optional[EngineConfig] = None
    """engine=ray: the tiers are pools of actors on a Ray cluster; null: they run in this process."""
    budget_usd: Optional[float] = checked(None, at_least(0))
    """Maximum dollars that all calls of paid servers for this run folder may cost; null: no limit."""
    dry_run: bool = False
    """Print what the answers would cost and ask no model."""
    chunk: int = checked(64, at_least(1))
    """Most questions that a tier answers between two saves."""
    display: str = checked("auto", one_of(*DISPLAYS))
    """Form of progress: rich is live bars, plain is lines, none prints only results and errors; auto chooses."""

    def __post_init__(self) -> None:
        check(self, "")
        for name in self.tiers:
            require(name.isdigit(), "tiers", name, "numbers of tiers, as the operating point has them")
        given = self.engine.name if self.engine is not None else None
        ray = isinstance(self.engine, RayEngineConfig)
        require(ray or given is None, "engine", given, "ray or null; the engine of a tier is +engine@tiers.0.engine=hf")
        estimated = self.dry_run and self.engine is not None
        require(
            not estimated, "dry_run", True, "false with engine=ray; without it the same command prints the estimate"
        )
