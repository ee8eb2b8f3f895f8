"""Validation: the model in training answers held-out questions greedily, every N steps.

The questions have their own split, disjoint from calibration and test, because they select the best checkpoint:
thresholds and final metrics must not be computed on them. Validation does not change the run: greedy decoding uses
no random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from corea.config import TrainConfig
from corea.engines.protocols import TrainingEngine
from corea.rl.rollout.extra_rewards import ExtraRewards
from corea.rl.rollout.groups import make_groups
from corea.rl.run import distributed
from corea.rl.run.validation_metrics import confidences_and_verdicts, validation_metrics
from corea.tasks.held_out import validation_questions
from corea.tasks.prompts import build_messages
from corea.types import Group, Question, Sampling


@dataclass(slots=True, kw_only=True)
class ValidationResult:
    """Answers to the validation questions, of all ranks, and their metrics."""

    groups: list[Group]
    """One group of one rollout per question."""
    metrics: dict[str, float]


class Validation:
    """The validation questions of a run."""

    def __init__(self, cfg: TrainConfig, engine: TrainingEngine, extras: ExtraRewards):
        self.cfg = cfg
        self.engine = engine
        self.extras = extras
        self._questions: list[Question] = []

    @property
    def questions(self) -> list[Question]:
        """The same questions at every step, built on first use."""
        if not self._questions:
            self._questions = validation_questions(self.cfg.data, self.cfg.trainer.validation_questions)
        return self._questions

    def is_due(self, step: int) -> bool:
        """Whether validation is scheduled after step `step` (from 1)."""
        every = self.cfg.trainer.validation_every
        return bool(every) and step % every == 0

    def run(self) -> ValidationResult:
        """Answer the questions with the current model; each rank answers a part and gets the results of all."""
        mine = self.questions[distributed.rank() :: distributed.world_size()]
        sampling = Sampling(temperature=0.0, max_tokens=self.cfg.model.max_tokens, n=1)
        answers = self.engine.generate([build_messages(self.cfg.model.prompt, q) for q in mine], sampling)
        groups = make_groups(mine, answers, self.cfg, self.extras)
        everyone = [g for part in distributed.gather(groups) for g in part]
        return ValidationResult(groups=everyone, metrics=validation_metrics(*confidences_and_verdicts(everyone)))
