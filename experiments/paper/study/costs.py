"""GPU hours and dollars of the jobs, before anything runs.

Training: seconds of a step times steps. Answers: completions of all calibration and test questions. The evaluations run
on a CPU, and supervised training of other sizes is not estimated. Where the seconds come from:

throughput  the user's tokens per second of a training, all GPUs together, prompt and completion tokens of all
            completions, rollout and update included (`tokens_per_s` of metrics.jsonl). Answers at the same rate, which
            overstates them, since they need no update.
run         mean seconds/step and seconds/rollout of a short run's metrics.jsonl without its first step, on the same
            number of GPUs, scaled by completions per step and parameters.
plan        the formulas of corea.plan, which predict the order of magnitude (docs/scale.md).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from omegaconf import OmegaConf

from corea.composition import compose
from corea.config import PlanConfig
from corea.errors import UserError
from corea.gpus import GPUS
from corea.plan.settings import gpu_of, model_shape, setting_of
from corea.plan.step_seconds import rates_of, rollout_seconds
from corea.plan.training_plan import plan_training, work_of
from corea.runtime import read_metrics
from study.plan import Job, Study
from study.recipes import REFERENCE


class Basis(Protocol):
    """Where the hours come from; `relative` is the size of a model relative to the main SLM."""

    words: str

    def training(self, cfg: PlanConfig, relative: float) -> float | None:
        """GPU hours of a training."""

    def answers(self, cfg: PlanConfig, questions: int, relative: float) -> float | None:
        """GPU hours of one completion for each of `questions`."""


def tokens_of(cfg: PlanConfig) -> float:
    """Mean tokens of a completion with its prompt."""
    work = work_of(cfg)
    return work.prompt + work.completion


def completions_of(cfg: PlanConfig) -> int:
    """Completions of a training."""
    return cfg.trainer.steps * cfg.trainer.questions * cfg.trainer.group_size


@dataclass(slots=True, kw_only=True)
class Throughput:
    """From the user's tokens per second."""

    tokens_per_s: float
    words: str = field(init=False)

    def __post_init__(self) -> None:
        if not self.tokens_per_s > 0:
            raise UserError(f"THROUGHPUT={self.tokens_per_s:g}: allowed is a number of tokens per second above 0")
        self.words = f"the given throughput of {self.tokens_per_s:,.0f} tokens per second"

    def training(self, cfg: PlanConfig, relative: float) -> float:
        """See Basis."""
        return self.answers(cfg, completions_of(cfg), relative)

    def answers(self, cfg: PlanConfig, questions: int, relative: float) -> float:
        """See Basis."""
        return relative * questions * tokens_of(cfg) / self.tokens_per_s * cfg.gpus / 3600


@dataclass(slots=True, kw_only=True)
class Measured:
    """From metrics.jsonl of a run."""

    folder: Path
    words: str = field(init=False)
    step: float = field(init=False)
    """Seconds of a step."""
    rollout: float = field(init=False)
    """Seconds of its rollout."""
    completions: int = field(init=False)
    """Completions of a step."""

    def __post_init__(self) -> None:
        try:
            rows = read_metrics(self.folder / "metrics.jsonl")
            trainer = OmegaConf.load(self.folder / "config.yaml").trainer
            rows = rows[1:] or rows
            self.step, self.rollout = (
                sum(row[key] for row in rows) / len(rows) for key in ("seconds/step", "seconds/rollout")
            )
            self.completions = trainer.questions * trainer.group_size
        except (OSError, KeyError, AttributeError, TypeError, ZeroDivisionError) as error:
            raise UserError(f"RUN={self.folder}: not the folder of a training run with metrics.jsonl") from error
        self.words = f"{len(rows)} measured steps of {self.folder} ({self.step:.2f} s a step)"

    def training(self, cfg: PlanConfig, relative: float) -> float:
        """See Basis."""
        return relative * completions_of(cfg) / self.completions * self.step * cfg.gpus / 3600

    def answers(self, cfg: PlanConfig, questions: int, relative: float) -> float:
        """See Basis."""
        return relative * questions / self.completions * self.rollout * cfg.gpus / 3600


@dataclass(slots=True, kw_only=True)
class Planned:
    """From corea.plan."""

    words: str = "corea.plan's estimate, an order of magnitude"

    def training(self, cfg: PlanConfig, relative: float) -> float | None:
        """See Basis; corea.plan knows the model of `cfg`, so `relative` is not used."""
        return None if gpu_of(cfg) is None else plan_training(cfg).estimate.gpu_hours

    def answers(self, cfg: PlanConfig, questions: int, relative: float) -> float | None:
        """See Basis. On one GPU by the model of `cfg`, scaled by `relative`."""
        gpu, options = gpu_of(cfg), cfg.plan
        if gpu is None:
            return None
        setting = replace(setting_of(cfg, model_shape(cfg.model)), gpus=1, questions=questions, group=1)
        work = replace(work_of(cfg), replicas=1, replica_gpus=1)
        rates = rates_of(
            gpu,
            options.peak_tflops or gpu.tflops,
            gpus=1,
            per_machine=options.gpus_per_machine,
            network_gbs=options.network_gbs,
            utilisation=options.utilisation,
            bandwidth_share=options.bandwidth_share,
            launch_ms=options.launch_ms,
        )
        return relative * rollout_seconds(setting, work, rates) / 3600


def basis_of(throughput: float | None, run: str | None) -> Basis:
    """The source that the user gives, else corea.plan."""
    if throughput is not None:
        return Throughput(tokens_per_s=throughput)
    return Measured(folder=Path(run)) if run else Planned()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What runs the study."""

    gpu: str = "cpu"
    gpus: int = 1
    usd_hour: float | None = None
    """Dollars per GPU and hour."""
    plan: tuple[str, ...] = ()
    """Overrides of corea.plan, e.g. plan.completion_tokens=900."""

    def __post_init__(self) -> None:
        if self.gpu != "cpu" and self.gpu not in GPUS:
            raise UserError(f"GPU={self.gpu}: allowed is cpu, {', '.join(GPUS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCost:
    """Hours of one job."""

    job: Job
    training: float
    answers: float
    unknown: bool
    """Whether a part of it has no estimate."""

    @property
    def hours(self) -> float:
        """GPU hours."""
        return self.training + self.answers


def job_costs(study: Study, jobs: Sequence[Job], basis: Basis, hardware: Hardware) -> list[JobCost]:
    """The cost of each job."""

    @cache
    def planned(overrides: tuple[str, ...]) -> PlanConfig:
        found: PlanConfig = compose(
            "plan", *overrides, f"gpus={hardware.gpus}", f"gpu={hardware.gpu}", "plan.search=false", *hardware.plan
        )
        return found

    main = study.overrides(next(recipe for recipe in study.recipes if recipe.name == REFERENCE))
    found = []
    for job in jobs:
        training, answers, unknown = 0.0, 0.0, False
        own, trained = planned(main), main
        for command in job.commands:
            verb, overrides = verb_of(command)
            if verb == "corea.train":
                trained = tuple(o for o in overrides if not o.startswith(("seed=", "hydra.", "logger=")))
                own = planned(trained)
                hours = basis.training(own, job.relative)
                training += hours or 0.0
            elif verb == "corea.collect":
                engine = tuple(o for o in overrides if o.startswith("engine="))  # another one than in training
                hours = _answer_hours(study, job, planned((*trained, *engine)) if engine else own, basis)
                answers += hours or 0.0
            else:
                hours = None if verb == "corea.sft" else 0.0
            unknown |= hours is None
        found.append(JobCost(job=job, training=training, answers=answers, unknown=unknown))
    return found


def _answer_hours(study: Study, job: Job, cfg: PlanConfig, basis: Basis) -> float | None:
    """SLM, and in the first job the LLM as well. corea.plan knows the size of the SLM of `cfg` itself."""
    own = 1.0 if isinstance(basis, Planned) else job.relative
    small = basis.answers(cfg, study.scale.held_out, own)
    asked = study.scale.llm_relative if job.name == study.first else 0.0
    large = basis.answers(cfg, study.scale.held_out, asked) if asked else 0.0
    return None if small is None or large is None else small + large


def verb_of(command: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """("corea.train", its overrides) of a command."""
    at = command.index("-m") + 1
    return command[at], tuple(command[at + 1 :])


def show_costs(costs: Sequence[JobCost], basis: Basis, hardware: Hardware, say: Callable[[str], None] = print) -> None:
    """Every job with its hours, dollars and commands, then the sum."""

    def words(hours: float, unknown: bool) -> str:
        if unknown and not hours:
            return "no estimate"
        text = f"{hours:,.2f} {'GPU' if hardware.gpu != 'cpu' else 'machine'} hours"
        if hardware.usd_hour is not None:
            text += f", {hours * hardware.usd_hour:,.2f} USD"
        return text + (" and a part without an estimate" if unknown else "")

    for cost in costs:
        say(f"# {cost.job.name}: {words(cost.hours, cost.unknown)}")
        for command in cost.job.commands:
            say(shlex.join(command))
    training, answers = (sum(getattr(cost, part) for cost in costs) for part in ("training", "answers"))
    unknown = any(cost.unknown for cost in costs)
    device = f"{hardware.gpus} x {hardware.gpu}"
    say(f"# {len(costs)} jobs on {device}: {words(training + answers, unknown)}")
    if training or answers:
        say(f"# training {words(training, False)}; answers {words(answers, False)}")
        say(f"# from {basis.words}")
    else:
        say("# times on a CPU: give RUN=FOLDER of a short training, or THROUGHPUT=TOKENS_PER_S")
