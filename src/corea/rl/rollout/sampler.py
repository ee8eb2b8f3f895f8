"""The rollouts of one step: its questions, completions of the current model, verdicts and rewards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from corea.config import TrainConfig
from corea.engines.protocols import TrainingEngine
from corea.rl.rollout.extra_rewards import ExtraRewards
from corea.rl.rollout.groups import make_groups
from corea.rl.rollout.step_questions import StepQuestions
from corea.rl.run import distributed
from corea.rl.run.phase_timer import PhaseTimer
from corea.tasks.prompts import build_messages
from corea.tasks.seeds import base_seed
from corea.tasks.splits import SplitReport
from corea.types import Group, Sampling


@dataclass(slots=True, kw_only=True)
class Batch:
    """One rank's part of a step."""

    groups: list[Group]
    """Groups to train on."""
    first_groups: list[Group]
    """Groups before any was replaced (trainer.resample). Metrics use these: replacement would bias them."""
    report: SplitReport
    """Questions read and dropped, of all ranks."""
    resampled: int = 0
    """Groups replaced, of all ranks."""
    staleness: int = 0
    """Updates between the weights that sampled the batch and those that are updated on it."""


class Sampler:
    """Samples the batch of a step, a function of (configuration, seed, step, weights)."""

    def __init__(self, cfg: TrainConfig, engine: TrainingEngine, extras: ExtraRewards, timer: PhaseTimer):
        self.cfg = cfg
        self.engine = engine
        self.extras = extras
        self.timer = timer
        self.questions = StepQuestions(cfg)

    def sample(self, step: int, progress: Callable[[int], None]) -> Batch:
        """Batch of step number `step` (from 0). The engine calls `progress`, which may raise, between its batches."""
        groups, report = self._attempt(step, 0, self.cfg.trainer.questions, progress)
        batch = Batch(groups=groups, first_groups=list(groups), report=report)
        for attempt in range(1, self.cfg.trainer.resample + 1):
            degenerate = [k for k, g in enumerate(batch.groups) if g.degenerate and not self._states_numbers(g)]
            wanted = distributed.gather(len(degenerate))
            if not any(wanted):
                break
            replacements, more = self._attempt(step, attempt, len(degenerate), progress)
            batch.report += more
            for place, group in zip(degenerate, replacements, strict=False):
                batch.groups[place] = group
            batch.resampled += sum(wanted)
        return batch

    def _states_numbers(self, group: Group) -> bool:
        """Whether trainer.credit=expected gives the group a gradient although its advantages are 0."""
        reward, masked = self.cfg.reward, self.cfg.trainer.loss.mask_truncated
        if self.cfg.trainer.credit != "expected" or reward.calib == 0:
            return False
        return any(
            r.parsed.confidence is not None
            and (r.parsed.well_formed or not reward.gate_calib)
            and not (masked and r.completion.finish_reason == "length")
            for r in group.rollouts
        )

    def _attempt(
        self, step: int, attempt: int, count: int, progress: Callable[[int], None]
    ) -> tuple[list[Group], SplitReport]:
        """At most `count` groups of this rank, from the questions of one attempt."""
        questions, report = self.questions.take(step, attempt)
        mine = questions[distributed.rank() :: distributed.world_size()][:count]
        with self.timer.measure("rollout"):
            prompts = [build_messages(self.cfg.model.prompt, q) for q in mine]
            part = noise_part([q.text for q in questions], distributed.rank(), distributed.world_size())
            sampling = rollout_sampling(self.cfg, step, part, attempt)
            completions = self.engine.generate(prompts, sampling, progress)  # without prompts too: ranks may share it
        with self.timer.measure("grade"):
            groups = make_groups(mine, completions, self.cfg, self.extras)
        return groups, report


def noise_part(prompts: Sequence[str], rank: int, processes: int) -> int:
    """The part of the seed that may differ between ranks: 0, or `rank` if a lower rank has one of this rank's prompts.

    The noise of a completion depends on seed and prompt, so with the same seed on all ranks the rollouts of a step do
    not depend on the number of processes. Equal prompts on two ranks need different noise.
    """
    lower = {prompt for number, prompt in enumerate(prompts) if number % processes < rank}
    return rank if lower.intersection(prompts[rank::processes]) else 0


def rollout_sampling(cfg: TrainConfig, step: int, part: int, attempt: int = 0) -> Sampling:
    """Sampling parameters of one step; each (step, attempt, part) has its own seed. `part`: see `noise_part`."""
    place = f"rollout/{step}/{attempt}" if attempt else f"rollout/{step}"
    return Sampling(
        temperature=cfg.trainer.temperature,
        max_tokens=cfg.model.max_tokens,
        n=cfg.trainer.group_size,
        seed=base_seed(cfg.seed, place, str(part)),
    )
