"""One batch: questions of a step, completions of the current model, verdicts and rewards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from corea.config import TrainConfig
from corea.rl.rollout.extra_rewards import Component
from corea.rl.rollout.groups import Draw, make_groups, messages, rollout_sampling
from corea.rl.run import distributed
from corea.tasks.splits import SplitReport
from corea.types import Engine, Group


@dataclass(slots=True, kw_only=True)
class Batch:
    """What one rank has of a step."""

    groups: list[Group]
    """To train on."""
    first: list[Group]
    """As drawn at first, before any was replaced: figures over these are not biased by the replacement."""
    report: SplitReport
    resampled: int = 0
    """Groups of all ranks that were replaced."""


class Sampler:
    """Makes the batch of a step, a function of (configuration, seed, step, weights)."""

    def __init__(self, cfg: TrainConfig, engine: Engine, extras: dict[str, Component]):
        self.cfg = cfg
        self.engine = engine
        self.extras = extras
        self.draw = Draw(cfg)

    def __call__(
        self, step: int, timed: Callable[[str], AbstractContextManager], progress: Callable[[int], None]
    ) -> Batch:
        """Batch of step number `step` (from 0); `progress` is called between the engine's batches and may raise."""
        groups, report = self._attempt(step, 0, self.cfg.trainer.questions, timed, progress)
        batch = Batch(groups=groups, first=list(groups), report=report)
        for attempt in range(1, self.cfg.trainer.resample + 1):
            empty = [k for k, g in enumerate(batch.groups) if g.degenerate]
            wanted = distributed.gather(len(empty))
            if not any(wanted):
                break
            found, more = self._attempt(step, attempt, len(empty), timed, progress)
            report.drawn, report.dropped = report.drawn + more.drawn, report.dropped + more.dropped
            for place, group in zip(empty, found, strict=False):
                batch.groups[place] = group
            batch.resampled += sum(wanted)
        return batch

    def _attempt(self, step: int, attempt: int, count: int, timed, progress) -> tuple[list[Group], SplitReport]:
        """At most `count` of this rank's groups of one draw."""
        questions, report = self.draw(step, attempt)
        mine = questions[distributed.rank() :: distributed.world_size()][:count]
        with timed("rollout"):
            prompts = messages(mine, self.cfg.model.prompt)
            sampling = rollout_sampling(self.cfg, step, distributed.rank(), attempt)
            completions = self.engine.generate(prompts, sampling, progress) if prompts else []
        with timed("grade"):
            groups = make_groups(mine, completions, self.cfg, self.extras)
        return groups, report
