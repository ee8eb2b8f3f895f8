"""The RL loop: batch = f(seed, step), rollouts, rewards, one or several updates, metrics, checkpoints.

The only place in this package that composes the others. Steps are counted from 1 in metrics.jsonl and checkpoints
("step 50" is after the 50th update) and from 0 where a batch is drawn.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from transformers.utils import logging as transformers_logging

from corea.config import TrainConfig
from corea.engines.loading import load_model
from corea.errors import Interrupted, UserError
from corea.logger import Logger
from corea.rl import distributed
from corea.rl.batching import MicroBatch, micro_batches
from corea.rl.checkpoint import Checkpoints
from corea.rl.display import build_display
from corea.rl.forward import supports_trees
from corea.rl.interrupt import StopRequest
from corea.rl.loss import aggregation_weights
from corea.rl.policy import Policy, Sums
from corea.rl.reward import reward_warnings
from corea.rl.rollout import Draw, in_loss, make_group, messages, rollout_sampling, rows_of
from corea.rl.samples import samples_frame, write_samples
from corea.rl.schedule import learning_rate
from corea.rl.stats import CollapseAlarm, batch_metrics, columns, joined
from corea.runtime import MetricsWriter, atomic_folder
from corea.tasks.splits import SplitReport
from corea.types import Engine, Group, Rollout, Sampling

log = logging.getLogger(__name__)

PHASES = ("rollout", "grade", "logprobs", "update", "save")


class _Stopped(Exception):
    """A signal arrived while completions were drawn: the step is given up, nothing has changed."""


class Trainer:
    """One RL run in `run_dir`. `run` goes on where the folder's newest checkpoint stands."""

    def __init__(self, cfg: TrainConfig, run_dir: Path, logger: Logger):
        if cfg.trainer.threads:
            torch.set_num_threads(cfg.trainer.threads)
        torch.manual_seed(cfg.seed)
        transformers_logging.disable_progress_bar()
        self.cfg = cfg
        self.run_dir = run_dir
        self.logger = logger
        model, self.tokenizer = load_model(
            cfg.model.path,
            revision=cfg.model.revision,
            dtype=cfg.model.dtype,
            device=getattr(cfg.engine, "device", None),
        )
        self.pad = self.tokenizer.pad_token_id or 0
        self.policy = Policy(model, cfg.trainer, pad=self.pad)
        self.engine = sampling_engine(cfg, model, self.tokenizer)
        self.share_prompt = cfg.trainer.share_prompt and supports_trees(model)
        self.main = distributed.rank() == 0
        self.checkpoints = Checkpoints(run_dir / "checkpoints", cfg.trainer.keep_last)
        self.draw = Draw(cfg)
        self.drawn = SplitReport()
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Train to the last step.

        Raises:
            Interrupted: Ctrl-C; a checkpoint was left. SIGTERM leaves one too and returns.
        """
        done = self._restore()
        steps = self.cfg.trainer.steps
        if self.main:
            self._announce(done)
        writer = MetricsWriter(self.run_dir / "metrics.jsonl", resume_step=done + 1) if self.main else None
        alarm = CollapseAlarm()
        received = None
        saved = done
        with StopRequest() as stop, build_display(steps, done, silent=not self.main) as display:
            while done < steps and received is None:
                try:
                    metrics, groups = self._step(done, stop)
                except _Stopped:
                    received = stop.agreed()
                    break
                done += 1
                if done % self.cfg.trainer.save_every == 0 or done == steps:
                    with self._timed("save"):
                        self._save(done)
                    saved = done
                self._report(done, metrics, groups, writer, display, alarm)
                received = stop.agreed()
            if received is not None and saved != done:
                self._save(done)
        if received is not None and done < steps:
            self._stopped(received, done)
            return
        self._finish()

    def _announce(self, done: int) -> None:
        for warning in reward_warnings(self.cfg.reward):
            log.warning(warning)
        if done:
            log.info("going on after step %d of %d in %s", done, self.cfg.trainer.steps, self.run_dir)

    def _step(self, index: int, stop: StopRequest) -> tuple[dict[str, float], list[Group]]:
        """One batch and its updates. Nothing is changed before the first update, so it can be given up until then."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        started = time.perf_counter()
        questions, report = self.draw(index)
        mine = questions[distributed.rank() :: distributed.world_size()]
        with self._timed("rollout"):
            prompts = messages(mine, self.cfg.model.prompt)
            sampling = rollout_sampling(self.cfg, index, distributed.rank())
            completions = self._generate(prompts, sampling, stop)
        with self._timed("grade"):
            groups = [make_group(q, c, self.cfg) for q, c in zip(mine, completions, strict=True)]
        if stop.agreed() is not None:
            raise _Stopped
        lr = learning_rate(index, self.cfg.trainer.steps, self.cfg.trainer.optimizer)
        sums = self._update(groups, lr)
        self.drawn = report if index == 0 else _plus(self.drawn, report)
        table = joined(distributed.gather(columns(groups)))
        metrics = {**batch_metrics(table), **sums, "lr": lr, **_counts(self.drawn)}
        elapsed = time.perf_counter() - started
        tokens = float(table["completion_tokens"].sum() + table["prompt_tokens"].sum())
        metrics |= {"tokens": tokens, "tokens_per_s": tokens / elapsed, "seconds/step": elapsed}
        return metrics, groups

    def _generate(self, prompts, sampling: Sampling, stop: StopRequest):
        def progress(_: int) -> None:
            if stop.received is not None and distributed.world_size() == 1:
                raise _Stopped

        return self.engine.generate(prompts, sampling, progress)

    def _update(self, groups: list[Group], lr: float) -> dict[str, float]:
        """All epochs and minibatches of one batch; figures averaged over their optimizer steps."""
        trainer = self.cfg.trainer
        parts = [groups[k :: trainer.minibatches] for k in range(trainer.minibatches)]
        batches = [self._micro_batches(part) for part in parts]
        several = trainer.minibatches * trainer.epochs > 1
        with self._timed("logprobs"):
            if several or self.policy.has_reference:
                batches = [self.policy.fill_logprobs(b, old=several) for b in batches]
        results = []
        with self._timed("update"):
            for _ in range(trainer.epochs):
                results += [self.policy.update(b, lr) for b in batches]
        return update_metrics([r for every in distributed.gather(results) for r in every])

    def _micro_batches(self, groups: list[Group]) -> list[MicroBatch]:
        """Of one optimizer step; the denominator of the loss is that of all processes."""
        loss = self.cfg.trainer.loss
        counted = [r for g in groups for r in g.rollouts if in_loss(r, loss.mask_truncated)]
        lengths = distributed.gather([len(r.completion.token_ids) for r in counted])
        weights = aggregation_weights(
            [n for part in lengths for n in part], loss.aggregation, self.cfg.model.max_tokens
        )
        first = sum(len(part) for part in lengths[: distributed.rank()])
        weight_of = {id(r): w for r, w in zip(counted, weights[first:], strict=False)}

        def weight(rollout: Rollout) -> float:
            return weight_of[id(rollout)]

        rows = rows_of(groups, weight, self.cfg, self.tokenizer.decode)
        return micro_batches(rows, self.cfg.trainer.token_budget, pad=self.pad, share_prompt=self.share_prompt)

    def _report(self, done: int, metrics: dict[str, float], groups, writer, display, alarm: CollapseAlarm) -> None:
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
        if (warning := alarm(metrics)) is not None:
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
                f"{found.path}: written with {before}, this run has {now}; resume with the same, or start anew"
            )
        self.policy.load(found.path)
        self.drawn = SplitReport(**found.progress["questions"])
        return found.step

    def _shape(self) -> dict[str, int]:
        return {"processes": distributed.world_size(), "zero_stage": self.cfg.trainer.zero_stage}

    def _save(self, done: int) -> None:
        questions = {"drawn": self.drawn.drawn, "dropped": self.drawn.dropped}

        def write(folder: Path) -> None:
            self.policy.save(folder)
            self.policy.save_model(folder / "model", self.tokenizer)

        self.checkpoints.save(done, {**self._shape(), "questions": questions}, write)

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
        log.info("%s", self.drawn)
        log.info("model: %s", self.run_dir / "model")

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started


def sampling_engine(cfg: TrainConfig, model, tokenizer) -> Engine:
    """The configured engine on the very module that is trained.

    Raises:
        UserError: the engine cannot sample from a model in this process.
    """
    target = get_class(cfg.engine._target_)
    if not hasattr(target, "from_model"):
        raise UserError(
            f"engine={cfg.engine.name}: it cannot sample from the model that is being trained; take engine=hf"
        )
    return target.from_model(model, tokenizer, batch_rows=cfg.engine.batch_rows, model_name=cfg.model.name)


def update_metrics(results: Sequence[Sums]) -> dict[str, float]:
    """Sums over tokens, of all updates of a step and all processes -> averages a token."""
    tokens = max(1.0, sum(r.get("tokens", 0.0) for r in results))
    total: dict[str, Any] = {}
    for result in results:
        for name, value in result.items():
            total[name] = max(total.get(name, 0.0), value) if name == "gap_max" else total.get(name, 0.0) + value
    return {
        "loss": total["loss"] / len(results),
        "grad_norm": total["grad_norm"] / len(results),
        "skipped_updates": total["skipped"],
        "entropy": total.get("entropy", 0.0) / tokens,
        "clip_share": total.get("clipped", 0.0) / tokens,
        "importance_capped_share": total.get("capped", 0.0) / tokens,
        "kl": total.get("kl", 0.0) / tokens,
        "logprob_gap/mean": total.get("gap", 0.0) / tokens,
        "logprob_gap/max": total.get("gap_max", 0.0),
    }


def _plus(one: SplitReport, other: SplitReport) -> SplitReport:
    return SplitReport(drawn=one.drawn + other.drawn, dropped=one.dropped + other.dropped)


def _counts(report: SplitReport) -> dict[str, float]:
    return {"questions/drawn": report.drawn, "questions/dropped": report.dropped}
