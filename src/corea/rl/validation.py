"""Validation: the model in training answers held-out questions greedily, every N steps.

The questions come from the calibration split with their own seed, so no final metric is computed on them. Validation
does not change the run: greedy decoding uses no random numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from corea.config import TrainConfig
from corea.engines.protocols import TrainingEngine
from corea.rl.rollout.extra_rewards import Component
from corea.rl.rollout.groups import make_groups
from corea.rl.run import distributed
from corea.rl.run.validation_metrics import confidences_and_verdicts, validation_metrics
from corea.tasks.mixes import held_out, training_sources
from corea.tasks.prompts import build_messages
from corea.types import Group, Question, Sampling

SEED_OFFSET = 7_919
"""Added to data.seed: other questions than those that thresholds are chosen on."""


@dataclass(slots=True, kw_only=True)
class ValidationResult:
    """Answers to the validation questions, of all ranks, and their metrics."""

    groups: list[Group]
    """One group of one rollout per question."""
    metrics: dict[str, float]


class Validation:
    """The validation questions of a run."""

    def __init__(self, cfg: TrainConfig, engine: TrainingEngine, extras: dict[str, Component]):
        self.cfg = cfg
        self.engine = engine
        self.extras = extras
        self._questions: list[Question] = []

    @property
    def questions(self) -> list[Question]:
        """The same questions at every step, built on first use."""
        if not self._questions:
            sources, seed = training_sources(self.cfg.data), self.cfg.data.seed + SEED_OFFSET
            size = self.cfg.trainer.validation_questions
            self._questions = held_out(sources, "calibration", size, dataset="validation", seed=seed)
        return self._questions

    def is_due(self, step: int) -> bool:
        """Whether validation is scheduled after step `step` (from 1)."""
        every = self.cfg.trainer.validation_every
        return bool(every) and step % every == 0

    def run(self) -> ValidationResult:
        """Answer the questions with the current model; each rank answers its part and gets the result of all."""
        mine = self.questions[distributed.rank() :: distributed.world_size()]
        sampling = Sampling(temperature=0.0, max_tokens=self.cfg.model.max_tokens, n=1)
        answers = self.engine.generate([build_messages(self.cfg.model.prompt, q) for q in mine], sampling)
        groups = make_groups(mine, answers, self.cfg, self.extras)
        everyone = [g for part in distributed.gather(groups) for g in part]
        return ValidationResult(groups=everyone, metrics=validation_metrics(*confidences_and_verdicts(everyone)))
