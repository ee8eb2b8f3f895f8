"""The RL loop: batch = f(seed, step), rollouts, rewards, one or several updates, metrics, checkpoints.

The only place in this package that composes the others. Steps are counted from 1 in metrics.jsonl and checkpoints
("step 50" is after the 50th update) and from 0 where a batch is drawn.
"""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from corea.config import TrainConfig
from corea.engines.build import sampling_engine
from corea.engines.loading import load_model
from corea.errors import Interrupted, UserError
from corea.logger import Logger
from corea.rl.rollout.extra_rewards import load_extras
from corea.rl.rollout.reward import reward_warnings
from corea.rl.rollout.sampler import Sampler
from corea.rl.run import distributed
from corea.rl.run.alarms import Alarms
from corea.rl.run.best_checkpoint import Best
from corea.rl.run.checkpoint import Checkpoints
from corea.rl.run.display import build_display
from corea.rl.run.interrupt import StopRequest
from corea.rl.run.samples_file import samples_frame, write_broken, write_samples
from corea.rl.run.step_metrics import batch_metrics, columns, joined
from corea.rl.update.policy import Policy
from corea.rl.update.schedule import learning_rate
from corea.rl.update.updater import Updater
from corea.rl.update.weight_sync import require_parity, trained_weights
from corea.rl.validation import Panel, answers_of, panel_figures, write_panel
from corea.runtime import MetricsWriter, atomic_folder, atomic_write
from corea.tasks.splits import SplitReport
from corea.types import Group

log = logging.getLogger(__name__)

PHASES = ("rollout", "grade", "logprobs", "update", "sync", "panel", "save")


class _Stopped(Exception):
    """A signal arrived while completions were drawn: the step is given up, nothing has changed."""


class Trainer:
    """One RL run in `run_dir`. `run` goes on where the folder's newest checkpoint stands."""

    def __init__(self, cfg: TrainConfig, run_dir: Path, logger: Logger):
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
        # vLLM wants to be set up before DeepSpeed.
        self.engine = sampling_engine(cfg.engine, cfg.model, model, self.tokenizer)
        self.policy = Policy(model, cfg.trainer, pad=self.tokenizer.pad_token_id or 0)
        self.updater = Updater(cfg, self.policy, self.tokenizer)
        self.main = distributed.rank() == 0
        self.checkpoints = Checkpoints(run_dir / "checkpoints", cfg.trainer.keep_last)
        extras = load_extras(cfg.reward)
        self.sampler = Sampler(cfg, self.engine, extras)
        self.panel = Panel(cfg, self.engine, extras)
        self.best = Best(cfg.trainer.best_by, cfg.trainer.patience)
        self.drawn = SplitReport()
        self.skipped_in_a_row = 0
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Train to the last step.

        Raises:
            Interrupted: Ctrl-C; a checkpoint was left. SIGTERM leaves one too and returns.
            UserError: too many steps in a row were not finite; the last batch was left.
        """
        done = self._restore()
        steps = self.cfg.trainer.steps
        if self.main:
            self._announce(done)
        writer = MetricsWriter(self.run_dir / "metrics.jsonl", resume_step=done + 1) if self.main else None
        alarms = Alarms()
        received = None
        saved = done
        with StopRequest() as stop, build_display(steps, done, silent=not self.main) as display:
            while done < steps and received is None and not self.best.exhausted:
                try:
                    metrics, groups = self._step(done, stop)
                except _Stopped:
                    received = stop.agreed()
                    break
                done += 1
                better = self._look(done, metrics)
                if done % self.cfg.trainer.save_every == 0 or done == steps or better or self.best.exhausted:
                    with self._timed("save"):
                        self._save(done)
                    saved = done
                self._report(done, metrics, groups, writer, display, alarms)
                self._check_finite(done, groups)
                received = stop.agreed()
            if received is not None and saved != done:
                self._save(done)
        if received is not None and done < steps and not self.best.exhausted:
            self._stopped(received, done)
            return
        self._finish()

    def _announce(self, done: int) -> None:
        for warning in reward_warnings(self.cfg.reward, self.cfg.trainer.group_size):
            log.warning(warning)
        if done:
            log.info("going on after step %d of %d in %s", done, self.cfg.trainer.steps, self.run_dir)

    def _step(self, index: int, stop: StopRequest) -> tuple[dict[str, float], list[Group]]:
        """One batch and its updates. Nothing is changed before the first update, so it can be given up until then."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        started = time.perf_counter()
        with self.policy.gathered():
            batch = self.sampler(index, self._timed, self._progress(stop))
        if stop.agreed() is not None:
            raise _Stopped
        lr = learning_rate(index, self.cfg.trainer.steps, self.cfg.trainer.optimizer)
        sums = self.updater(batch.groups, lr, self._timed)
        require_parity(sums, getattr(self.engine, "max_logprob_gap", None), step=index + 1)
        with self._timed("sync"):
            self.engine.sync(trained_weights(self.policy))
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if sums["skipped_updates"] else 0
        self.drawn = batch.report if index == 0 else _plus(self.drawn, batch.report)
        table = joined(distributed.gather(columns(batch.first)))
        metrics = {**batch_metrics(table), **sums, "lr": lr, **_counts(self.drawn)}
        if self.cfg.trainer.resample:
            metrics["resampled_groups"] = batch.resampled
        elapsed = time.perf_counter() - started
        tokens = float(table["completion_tokens"].sum() + table["prompt_tokens"].sum())
        metrics |= {"tokens": tokens, "tokens_per_s": tokens / elapsed, "seconds/step": elapsed}
        return metrics, batch.groups

    def _progress(self, stop: StopRequest) -> Callable[[int], None]:
        """Between the engine's batches a single process gives the step up as soon as it is asked to stop."""

        def progress(_: int) -> None:
            if stop.received is not None and distributed.world_size() == 1:
                raise _Stopped

        return progress

    def _look(self, done: int, metrics: dict[str, float]) -> bool:
        """The panel, where one is due; True where it is the best so far."""
        every = self.cfg.trainer.validation_every
        if not every or done % every:
            return False
        with self._timed("panel"):
            with self.policy.gathered():
                groups = self.panel.look()
            figures = panel_figures(*answers_of(groups))
            better = self.best.update(done, figures)
            metrics |= {f"panel/{name}": value for name, value in figures.items()}
            if self.main:
                self._show_panel(done, groups, figures, better)
        return better

    def _show_panel(self, done: int, groups: list[Group], figures: dict[str, float], better: bool) -> None:
        _, picture = write_panel(self.run_dir, done, groups, figures)
        name = f"step-{done:06d}"  # a name of its own a look: nothing is overwritten
        self.logger.table(f"panel/answers/{name}", samples_frame(done, groups))
        self.logger.image(f"panel/reliability/{name}", picture)
        if better:
            with atomic_write(self.run_dir / "best.json") as path:
                checkpoint = f"checkpoints/{name}"
                path.write_text(json.dumps({**self.best.state(), "checkpoint": checkpoint}, indent=1) + "\n")

    def _check_finite(self, done: int, groups: list[Group]) -> None:
        """Keep the batch of a step whose loss or gradient was not finite; stop after too many in a row."""
        if not self.skipped_in_a_row:
            return
        everyone = [g for part in distributed.gather(groups) for g in part]
        path = self.run_dir / "not_finite.parquet"
        if self.main:
            write_broken(path, done, everyone)
            log.warning("step %d: loss or gradient is not finite; nothing was changed, the batch is in %s", done, path)
        if self.skipped_in_a_row >= self.cfg.trainer.max_skipped:
            raise UserError(
                f"stopped: loss or gradient was not finite in {self.skipped_in_a_row} steps in a row, up to step "
                f"{done}; the batches are in {path}. Lower trainer.optimizer.lr, or look at the rewards there"
            )

    def _report(self, done: int, metrics: dict[str, float], groups, writer, display, alarms: Alarms) -> None:
        """Everything that is written down about a finished step."""
        sampled = done % self.cfg.trainer.sample_every == 0 or done == self.cfg.trainer.steps
        everyone = distributed.gather(groups) if sampled else []
        if not self.main:
            return
        metrics |= {f"seconds/{phase}": self.seconds[phase] for phase in PHASES}
        line = {"step": done, **{name: float(value) for name, value in metrics.items()}}
        writer.write(line)
        self.logger.log({k: v for k, v in line.items() if k != "step"}, step=done)
        display.update(done, metrics)
        for warning in alarms(metrics):
            log.warning("step %d: %s", done, warning)
        if sampled:
            frame = samples_frame(done, [g for part in everyone for g in part])
            write_samples(self.run_dir / "samples.parquet", done, frame)

    def _restore(self) -> int:
        """Load the newest whole checkpoint; the number of steps done."""
        found = self.checkpoints.latest()
        if found is None:
            return 0
        now = self._shape()
        before = {key: found.progress[key] for key in now}
        if before != now:
            raise UserError(
                f"{found.path}: written with {_words(before)}, this run has {_words(now)}, and the optimizer's state "
                f"is stored in parts to fit; go on with the same, or start anew from model.path={found.path / 'model'}"
            )
        self.policy.load(found.path)
        self.engine.sync(trained_weights(self.policy))
        self.drawn = SplitReport(**found.progress["questions"])
        self.skipped_in_a_row = found.progress.get("skipped_in_a_row", 0)
        self.best.restore(found.progress.get("best", {}))
        return found.step

    def _shape(self) -> dict[str, int]:
        return {"processes": distributed.world_size(), "zero_stage": self.cfg.trainer.zero_stage}

    def _save(self, done: int) -> None:
        questions = {"drawn": self.drawn.drawn, "dropped": self.drawn.dropped}

        def write(folder: Path) -> None:
            self.policy.save(folder)
            self.policy.save_model(folder / "model", self.tokenizer)

        counts = {"questions": questions, "skipped_in_a_row": self.skipped_in_a_row, "best": self.best.state()}
        self.checkpoints.save(done, {**self._shape(), **counts}, write, best=self.best.step)

    def _stopped(self, received: int, done: int) -> None:
        name = signal.Signals(received).name
        message = f"stopped by {name} after step {done}; a checkpoint was saved: resume with the same command"
        message += f" and hydra.run.dir={self.run_dir}"
        if received == signal.SIGINT:
            raise Interrupted(message)
        log.info(message)

    def _finish(self) -> None:
        """Write model/ and the counts of the data stream."""
        if not self.main:
            self.policy.save_model(self.run_dir / "model", self.tokenizer)
            return
        with atomic_folder(self.run_dir / "model") as temporary:
            self.policy.save_model(temporary, self.tokenizer)
        if self.best.exhausted:
            log.info("stopped early: %d looks in a row were no better by %s", self.best.worse, self.best.by)
        if self.best.step:
            log.info("best %s: %.4f after step %d", self.best.by, self.best.value, self.best.step)
        log.info("%s", self.drawn)
        log.info("model: %s", self.run_dir / "model")

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started


def _words(shape: dict[str, int]) -> str:
    return f"processes={shape['processes']} trainer.zero_stage={shape['zero_stage']}"


def _plus(one: SplitReport, other: SplitReport) -> SplitReport:
    return SplitReport(drawn=one.drawn + other.drawn, dropped=one.dropped + other.dropped)


def _counts(report: SplitReport) -> dict[str, float]:
    return {"questions/drawn": report.drawn, "questions/dropped": report.dropped}
