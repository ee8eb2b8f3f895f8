"""The RL loop. One step:

    seed, step --> questions --> completions --> groups --> rows --> micro-batches --> gradient --> weights
                 StepQuestions     engine      parse, grade,                loss,       Policy        |
                                             reward, advantage          KL, clipping                  |
                |------------ Sampler.sample() ------------|------------ Updater.update() ------------|
                                     ^                                                                |
                                     '----------------------- engine.sync() <-------------------------'
                BatchSource: at the start of the step, or during the update before it

    every N steps  Validation.run()    held-out questions -> metrics, the best checkpoint
                   Checkpoints.save()  weights, optimizer, counts
    every step     StepReporter        metrics.jsonl, logger, samples.parquet

Only this module combines the others. Steps are counted from 1 in metrics.jsonl and checkpoints ("step 50" is after the
50th update) and from 0 where a batch is sampled.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from corea.config import TrainConfig
from corea.display import progress
from corea.engines.build import build_training_engine
from corea.engines.loading import load_model
from corea.errors import Interrupted, UserError
from corea.logger import Logger
from corea.rl.rollout.batch_source import BatchSource, StepAbandoned
from corea.rl.rollout.extra_rewards import ExtraRewards
from corea.rl.rollout.reward import reward_warnings
from corea.rl.rollout.sampler import Batch, Sampler
from corea.rl.rollout.stated_number import number_tokens
from corea.rl.rollout.user_parts import check_user_parts
from corea.rl.run import distributed
from corea.rl.run.best_checkpoint import BestCheckpoint
from corea.rl.run.checkpoint import Checkpoints
from corea.rl.run.device_use import peak_flops, speed_metrics
from corea.rl.run.final_model import write_final_model
from corea.rl.run.interrupt import StopRequest
from corea.rl.run.memory_meter import MemoryMeter
from corea.rl.run.phase_timer import PhaseTimer
from corea.rl.run.resuming import load_checkpoint, state_layout
from corea.rl.run.step_metrics import batch_metrics, columns, joined
from corea.rl.run.step_profile import StepProfile
from corea.rl.run.step_reporter import StepReporter
from corea.rl.update.policy import Policy
from corea.rl.update.schedule import learning_rate
from corea.rl.update.updater import Updater
from corea.rl.update.weight_sync import hand_over, require_parity
from corea.rl.validation import Validation
from corea.run_folder import launcher_ranks
from corea.runtime import frozen_objects
from corea.tasks.splits import SplitReport
from corea.types import Group

log = logging.getLogger(__name__)


class Trainer:
    """One RL run in `run_dir`. `run` continues from the newest checkpoint in that folder."""

    def __init__(self, cfg: TrainConfig, run_dir: Path, logger: Logger):
        _require_questions(cfg)
        check_user_parts(cfg)
        self.extras = ExtraRewards(cfg.reward, cfg.model.prompt)
        self.extras.start()
        if cfg.trainer.threads:
            torch.set_num_threads(cfg.trainer.threads)
        torch.manual_seed(cfg.seed)
        transformers_logging.disable_progress_bar()
        distributed.set_environment()
        self.cfg = cfg
        self.run_dir = run_dir
        self.logger = logger
        model, self.tokenizer = load_model(
            cfg.model.path,
            revision=cfg.model.revision,
            dtype=cfg.model.dtype,
            device=getattr(cfg.engine, "device", None),
        )
        # vLLM must be set up before DeepSpeed.
        self.engine = build_training_engine(cfg.engine, cfg.model, model, self.tokenizer)
        self.timer = PhaseTimer(MemoryMeter())
        self.peak = peak_flops(model.dtype, cfg.trainer.peak_tflops)
        numbers = number_tokens(cfg, self.tokenizer)
        number_ids = numbers.ids if numbers else ()
        self.policy = Policy(model, cfg.trainer, pad=self.tokenizer.pad_token_id or 0, number_ids=number_ids)
        if getattr(self.engine, "takes_adapters", False):
            hand_over(self.engine, self.policy)
        self.updater = Updater(cfg, self.policy, self.tokenizer, self.timer, numbers)
        self.main = distributed.rank() == 0
        self.profile = StepProfile(cfg.trainer.profile if self.main else None, run_dir)
        self.checkpoints = Checkpoints(run_dir / "checkpoints", cfg.trainer.keep_last)
        sampler = Sampler(cfg, self.engine, self.extras, self.timer)
        self.batches = BatchSource(cfg, sampler, self.engine, self._weights_for_sampling)
        self.validation = Validation(cfg, self.engine, self.extras)
        self.best = BestCheckpoint(cfg.trainer.best_by, cfg.trainer.patience)
        self.questions = SplitReport()
        self.skipped_in_a_row = 0

    def run(self) -> None:
        """Train to the last step, and release the engine and the processes of the user's functions.

        Raises:
            Interrupted: Ctrl-C; a checkpoint was saved. SIGTERM also saves one, and returns.
            UserError: too many steps in a row were not finite; their batches are stored.
        """
        try:
            done = self._restore()
            with frozen_objects():
                self._run(done)
        except Interrupted:
            self._release()
            raise
        self._release()

    def _release(self) -> None:
        self.extras.close()
        distributed.barrier()  # engines of several ranks share process groups
        self.engine.close()

    def _run(self, done: int) -> None:
        steps = self.cfg.trainer.steps
        if self.main:
            self._announce(done)
        received = None
        saved = done
        with StopRequest() as stop, progress("step", steps, done, always=True, rate=False) as bar:
            reporter = StepReporter(self.cfg, self.run_dir, self.logger, bar, next_step=done + 1)
            while done < steps and received is None and not self.best.exhausted:
                try:
                    with self.profile.step(done + 1):
                        metrics, groups = self._train_step(done, stop)
                except StepAbandoned:
                    received = stop.received_by_any()
                    break
                done += 1
                improved = self._validate(done, metrics, reporter)
                if done % self.cfg.trainer.save_every == 0 or done == steps or improved or self.best.exhausted:
                    with self.timer.measure("save"):
                        self._save(done)
                    saved = done
                reporter.report_step(done, metrics | self.timer.memory_metrics(), groups, self.timer.seconds)
                self._check_finite(done, groups, reporter)
                received = stop.received_by_any()
            self.profile.close(done)
            if received is not None and saved != done:
                self._save(done)
        if received is not None and done < steps and not self.best.exhausted:
            self._report_stop(received, done)
            return
        self._finish(done)

    def _announce(self, done: int) -> None:
        for warning in reward_warnings(self.cfg.reward, self.cfg.trainer.group_size):
            log.warning(warning)
        if self.batches.ahead and not self.batches.beside:
            log.warning("trainer.off_policy_steps=1: saves no time, because each batch is drawn before the update here")
        if done:
            log.info("continuing after step %d of %d in %s", done, self.cfg.trainer.steps, self.run_dir)

    def _train_step(self, index: int, stop: StopRequest) -> tuple[dict[str, float], list[Group]]:
        """Sample, update, sync. Nothing changes before the first update, so the step can be abandoned until then."""
        self.timer.reset()
        started = time.perf_counter()
        batch = self.batches.take(index, self._abandon_if_stopped(stop))
        if stop.received_by_any() is not None:
            raise StepAbandoned
        self.batches.start_next(index, self._abandon_if_stopped(stop))
        lr = learning_rate(index, self.cfg.trainer.steps, self.cfg.trainer.optimizer)
        update_metrics = self.updater.update(batch.groups, lr)
        limit = None if batch.staleness else self.engine.max_logprob_gap  # a stale gap contains an update
        require_parity(update_metrics, limit, step=index + 1)
        self.batches.end_step(index)
        with self.timer.measure("sync"):
            hand_over(self.engine, self.policy)
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if update_metrics["skipped_updates"] else 0
        self.questions = batch.report if index == 0 else self.questions + batch.report
        return self._step_metrics(batch, {**update_metrics, "lr": lr}, started), batch.groups

    def _weights_for_sampling(self) -> AbstractContextManager[None]:
        """All weights on this rank, if the engine samples from the trainer's module; one with a copy needs none."""
        return self.policy.gathered() if getattr(self.engine, "shares_model", True) else nullcontext()

    def _step_metrics(self, batch: Batch, metrics: dict[str, float], started: float) -> dict[str, float]:
        """Metrics of all ranks' rollouts, beside those of the update."""
        table = joined(distributed.gather(columns(batch.first_groups)))
        metrics = {**batch_metrics(table), **metrics}
        metrics["staleness"] = batch.staleness
        metrics |= {"questions/read": self.questions.read, "questions/dropped": self.questions.dropped}
        if self.cfg.trainer.resample:
            metrics["resampled_groups"] = batch.resampled
        if self.cfg.reward.extra:
            metrics["reward_timeouts"] = sum(distributed.gather(self.extras.timeouts))
        elapsed = time.perf_counter() - started
        tokens = float(table["completion_tokens"].sum() + table["prompt_tokens"].sum())
        metrics |= speed_metrics(self.updater.flops, tokens, self.timer.seconds, elapsed, self.peak)
        return metrics | {"tokens": tokens, "tokens_per_s": tokens / elapsed, "seconds/step": elapsed}

    def _abandon_if_stopped(self, stop: StopRequest) -> Callable[[int], None]:
        """Called between the engine's batches. A single process abandons the step as soon as a stop is requested."""

        def progress(_: int) -> None:
            if stop.received is not None and distributed.world_size() == 1:
                raise StepAbandoned

        return progress

    def _validate(self, done: int, metrics: dict[str, float], reporter: StepReporter) -> bool:
        """Run validation if scheduled and add its metrics; True if the model is the best so far."""
        if not self.validation.is_due(done):
            return False
        with self.timer.measure("validation"):
            with self._weights_for_sampling():
                result = self.validation.run()
            improved = self.best.update(done, result.metrics)
            metrics |= {f"validation/{name}": value for name, value in result.metrics.items()}
            reporter.report_validation(done, result.groups, result.metrics, self.best, improved)
        return improved

    def _check_finite(self, done: int, groups: list[Group], reporter: StepReporter) -> None:
        """Store the batch of a step whose loss or gradient was not finite; stop after too many in a row."""
        if not self.skipped_in_a_row:
            return
        path = reporter.report_not_finite(done, groups)
        if self.skipped_in_a_row >= self.cfg.trainer.max_skipped:
            raise UserError(
                f"stopped: loss or gradient was not finite in {self.skipped_in_a_row} steps in a row, up to step "
                f"{done}; the batches are in {path}. Lower trainer.optimizer.lr, or inspect the rewards in them"
            )

    def _restore(self) -> int:
        """Load the newest intact checkpoint and return its step; 0 without one."""
        found = self.checkpoints.latest()
        if found is None:
            return 0
        load_checkpoint(self.policy, self.checkpoints, found)
        self.batches.load(found.path, found.step)
        hand_over(self.engine, self.policy)
        counts = found.progress["questions"]
        self.questions = SplitReport(read=counts.get("read", counts.get("drawn", 0)), dropped=counts["dropped"])
        self.skipped_in_a_row = found.progress.get("skipped_in_a_row", 0)
        self.best.restore(found.progress.get("best", {}))
        return found.step

    def _save(self, done: int) -> None:
        def write(folder: Path) -> None:
            self.policy.save(folder)
            self.policy.save_model(folder / "model", self.tokenizer)
            self.batches.save(folder, done)

        progress = {
            **state_layout(self.cfg.trainer),
            "questions": {"read": self.questions.read, "dropped": self.questions.dropped},
            "skipped_in_a_row": self.skipped_in_a_row,
            "best": self.best.state(),
        }
        self.checkpoints.save(done, progress, write, best=self.best.step)

    def _report_stop(self, received: int, done: int) -> None:
        name = signal.Signals(received).name
        message = f"stopped by {name} after step {done}; a checkpoint was saved: resume with the same command"
        message += f" and hydra.run.dir={self.run_dir}"
        if received == signal.SIGINT:
            raise Interrupted(message)
        log.info(message)

    def _finish(self, done: int) -> None:
        """Write model/ and log how the run ended."""
        state = self.policy.model_state()  # gathered from all ranks
        if not self.main:
            return
        if self.best.exhausted:
            log.info("stopped early: %d validations in a row without a better %s", self.best.worse, self.best.by)
        log.info("%s", self.questions)
        write_final_model(
            self.run_dir, done, self.best, lambda folder: self.policy.write_model(folder, self.tokenizer, state)
        )


def _require_questions(cfg: TrainConfig) -> None:
    processes, questions = launcher_ranks()[1], cfg.trainer.questions
    if processes > questions:
        raise UserError(
            f"trainer.questions={questions}: allowed is a number >= {processes}: each of the {processes} processes "
            "needs a question of every step"
        )
