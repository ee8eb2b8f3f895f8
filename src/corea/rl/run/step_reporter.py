"""Reports a finished step: metrics.jsonl, the logger, the progress bar, warnings, samples.parquet."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from corea.config import TrainConfig
from corea.display import Bar
from corea.logger import Logger
from corea.rl.run import distributed
from corea.rl.run.alarms import Alarms
from corea.rl.run.best_checkpoint import BestCheckpoint
from corea.rl.run.samples_file import samples_frame, write_broken, write_samples
from corea.rl.run.validation_files import write_validation
from corea.runtime import MetricsWriter, atomic_write
from corea.types import Group

log = logging.getLogger(__name__)


def main_figures(metrics: Mapping[str, float]) -> str:
    """The figures that matter during training, in one line."""
    return (
        f"reward {metrics['reward']:.3f}  pass@1 {metrics['pass@1']:.3f}  ECE {metrics['ece']:.3f}  "
        f"AUROC {metrics['auroc']:.3f}  confidence {metrics['confidence/mean']:.2f}±{metrics['confidence/std']:.2f}  "
        f"{metrics['seconds/step']:.2f} s/step"
    )


class StepReporter:
    """Every rank calls every method; rank 0 writes."""

    def __init__(
        self,
        cfg: TrainConfig,
        run_dir: Path,
        logger: Logger,
        bar: Bar,
        *,
        next_step: int,
    ):
        """Removes the lines of metrics.jsonl from step `next_step` on, because they are written again."""
        self.cfg = cfg
        self.run_dir = run_dir
        self.logger = logger
        self.bar = bar
        self.main = distributed.rank() == 0
        self.writer = MetricsWriter(run_dir / "metrics.jsonl", resume_step=next_step) if self.main else None
        self.alarms = Alarms()

    def report_step(
        self, step: int, metrics: Mapping[str, float], groups: Sequence[Group], seconds: Mapping[str, float]
    ) -> None:
        """Report step `step` (from 1).

        Args:
            groups: groups of this rank.
            seconds: time spent in each phase.
        """
        keeps_samples = step % self.cfg.trainer.sample_every == 0 or step == self.cfg.trainer.steps
        everyone = distributed.gather(groups) if keeps_samples else []
        if self.writer is None:
            return
        line = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        line |= {f"seconds/{phase}": value for phase, value in seconds.items()}
        self.writer.write(line)
        self.logger.log({k: v for k, v in line.items() if k != "step"}, step=step)
        self.bar.update(step, main_figures(metrics))
        if metrics["empty_updates"]:
            log.warning(
                "step %d: %d updates were skipped: no completion is in the loss", step, metrics["empty_updates"]
            )
        for warning in self.alarms.check(metrics):
            log.warning("step %d: %s", step, warning)
        if keeps_samples:
            frame = samples_frame(step, [g for part in everyone for g in part])
            write_samples(self.run_dir / "samples.parquet", step, frame)

    def report_validation(
        self, step: int, groups: Sequence[Group], metrics: dict[str, float], best: BestCheckpoint, improved: bool
    ) -> None:
        """Write the answers and the diagram of one validation; if it is the best so far, also best.json."""
        if not self.main:
            return
        diagram = write_validation(self.run_dir, step, groups, metrics)
        name = f"step-{step:06d}"  # unique name per validation: nothing is overwritten
        self.logger.table(f"validation/answers/{name}", samples_frame(step, groups))
        self.logger.image(f"validation/reliability/{name}", diagram)
        if improved:
            with atomic_write(self.run_dir / "best.json") as path:
                state = {**best.state(), "checkpoint": f"checkpoints/{name}"}
                path.write_text(json.dumps(state, indent=1) + "\n")

    def report_not_finite(self, step: int, groups: Sequence[Group]) -> Path:
        """Write the batch of a step whose loss or gradient was not finite; returns the file."""
        everyone = [g for part in distributed.gather(groups) for g in part]
        path = self.run_dir / "not_finite.parquet"
        if self.main:
            write_broken(path, step, everyone)
            log.warning("step %d: loss or gradient is not finite; weights are unchanged, batch in %s", step, path)
        return path
