"""The training questions of a step: a function of (configuration, seed, step), so that a resumed run neither repeats
nor skips a question."""

from __future__ import annotations

import logging

from corea.config import TrainConfig
from corea.tasks.mixes import TrainingStream
from corea.tasks.splits import SplitReport
from corea.types import Question

log = logging.getLogger(__name__)


class StepQuestions:
    """Assigns each step a part of the training stream."""

    def __init__(self, cfg: TrainConfig):
        self.stream = TrainingStream(cfg.data, split="train", seed=cfg.seed, size=cfg.trainer.questions)
        for screening in self.stream.screenings:
            log.info("%s", screening)
        self.attempts = 1 + cfg.trainer.resample

    def take(self, step: int, attempt: int = 0) -> tuple[list[Question], SplitReport]:
        """Questions of step `step` (from 0), and how many were read and dropped to get them.

        With trainer.resample, each attempt of a step has its own part of the stream.
        """
        return self.stream.take(step * self.attempts + attempt)
