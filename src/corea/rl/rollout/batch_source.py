"""The batch of each step: drawn at its start, or with trainer.off_policy_steps=1 during the update before it.

    weights   k ------------------------> k+1 ----------------------> k+2
    trainer   update on batch k           update on batch k+1
    engine    draw batch k+1 (weights k)  draw batch k+2 (weights k+1)
                                          '-- sent after the draw has ended

An engine in another process (`generates_elsewhere`) draws in a thread while the trainer updates. Another engine draws
the same batch before the update, which saves no time. The first FRESH batches are always drawn at the start of
their step.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain, zip_longest
from pathlib import Path

from corea.config import TrainConfig
from corea.engines.protocols import TrainingEngine
from corea.rl.rollout.sampler import Batch, Sampler
from corea.rl.run import distributed
from corea.types import Group

FRESH = 2
"""So that sampler and trainer are compared at the same weights before and after these were first sent to the engine."""
FOLDER = "drawn"
"""Folder of a batch that was drawn ahead, in a checkpoint."""
Progress = Callable[[int], None]


class StepAbandoned(Exception):
    """A signal arrived while completions were sampled. They are dropped; nothing else has changed."""


class BatchSource:
    """Hands out batches. Every rank makes the same calls: `take`, `start_next` and `end_step` in each step."""

    def __init__(
        self,
        cfg: TrainConfig,
        sampler: Sampler,
        engine: TrainingEngine,
        weights: Callable[[], AbstractContextManager[None]],
    ):
        """`weights`: context in which the engine may sample in this thread."""
        self.cfg = cfg
        self.sampler = sampler
        self.weights = weights
        self.ahead = cfg.trainer.off_policy_steps > 0
        talks = cfg.trainer.resample > 0 and distributed.world_size() > 1  # ranks talk in one thread alone
        self.beside = self.ahead and getattr(engine, "generates_elsewhere", False) and not talks
        self.drawn: dict[int, Batch] = {}
        self.thread: _Drawing | None = None

    def take(self, step: int, progress: Progress) -> Batch:
        """The batch of step `step` (from 0). The engine calls `progress`, which may raise, between its batches."""
        if step not in self.drawn:
            self.drawn = {step: self._draw(step, progress)}
        return self.drawn[step]

    def start_next(self, step: int, progress: Progress) -> None:
        """Draw the batch of step `step + 1` if it is to be drawn ahead. It is there after `end_step`."""
        following = step + 1
        if not self.ahead or not FRESH <= following < self.cfg.trainer.steps:
            return
        if self.beside:
            self.thread = _Drawing(lambda: self.sampler.sample(following, progress))
            return
        batch = self._draw(following, progress)
        batch.staleness = 1
        self.drawn[following] = batch

    def end_step(self, step: int) -> None:
        """Wait for the batch that is being drawn. The engine's weights must not change before this.

        Without one, because a signal arrived, the batch is drawn again at the start of its step.
        """
        self.drawn.pop(step, None)
        if self.thread is None:
            return
        thread, self.thread = self.thread, None
        with self.sampler.timer.measure("wait"):
            try:
                batch = thread.result()
            except StepAbandoned:
                return
        batch.staleness = 1
        self.drawn[step + 1] = batch

    def _draw(self, step: int, progress: Progress) -> Batch:
        with self.weights():
            return self.sampler.sample(step, progress)

    def save(self, folder: Path, step: int) -> None:
        """Write this rank's part of the batch of step `step` if it is there: the weights that drew it are not in the
        checkpoint."""
        batch = self.drawn.get(step)
        if not self.ahead or batch is None:
            return
        path = folder / FOLDER / f"{distributed.rank():06d}.pickle"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(batch))

    def load(self, folder: Path, step: int) -> None:
        """Take over the batch that `save` wrote, also on another number of ranks. The files are pickles: verify their
        checksums first."""
        files = sorted((folder / FOLDER).glob("*.pickle"))
        if not self.ahead or not files:
            return
        parts: list[Batch] = [pickle.loads(file.read_bytes()) for file in files]
        self.drawn = {
            step: Batch(
                groups=_own([part.groups for part in parts]),
                first_groups=_own([part.first_groups for part in parts]),
                report=parts[0].report,
                resampled=parts[0].resampled,
                staleness=parts[0].staleness,
            )
        }


def _own(parts: list[list[Group]]) -> list[Group]:
    """This rank's part of the groups that were dealt to len(parts) ranks in turn."""
    dealt = chain.from_iterable(zip_longest(*parts))
    return [group for group in dealt if group is not None][distributed.rank() :: distributed.world_size()]


class _Drawing(threading.Thread):
    """Calls a function in a thread, which ends with the process if nobody waits for it."""

    def __init__(self, draw: Callable[[], Batch]):
        super().__init__(daemon=True)
        self.draw = draw
        self.batch: Batch | None = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.batch = self.draw()
        except BaseException as error:  # raised again in the trainer's thread
            self.error = error

    def result(self) -> Batch:
        """Wait for the function; return its value or raise its error."""
        self.join()
        if self.error is not None:
            raise self.error
        assert self.batch is not None, "a thread ended without a batch and without an error"
        return self.batch
