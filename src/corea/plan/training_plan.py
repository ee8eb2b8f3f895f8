"""The plan of a training: memory by part, whether it fits, seconds and cost, the cheapest preset that fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from corea.config import HFEngineConfig, PlanConfig, VLLMEngineConfig, VLLMServerEngineConfig
from corea.gpus import Gpu
from corea.model_shape import ModelShape
from corea.plan.candidates import Candidate, candidates
from corea.plan.memory_parts import Memory, memory_of
from corea.plan.settings import gpu_of, memory_bytes, model_shape, resolved_engine, server_gpus, setting_of
from corea.plan.step_seconds import Seconds, Work, rates_of, seconds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Memory, seconds and cost of one setting."""

    gpus: int
    """GPUs of the training and of its servers."""
    memory: Memory
    limit: float | None
    """Bytes of a GPU that may be used; None if its memory is unknown."""
    seconds: Seconds | None
    """None if the peak of the device is unknown."""
    steps: int
    gpu_hour: float | None
    """Dollars per GPU and hour."""

    @property
    def fits(self) -> bool | None:
        """Whether the peak is within the limit; None without one."""
        return None if self.limit is None else self.memory.peak <= self.limit

    @property
    def gpu_hours(self) -> float | None:
        """GPU hours of all steps, without validation and checkpoints."""
        return None if self.seconds is None else self.gpus * self.steps * self.seconds.step / 3600

    @property
    def dollars(self) -> float | None:
        """Dollars of all steps; None without a price."""
        hours = self.gpu_hours
        return None if hours is None or self.gpu_hour is None else hours * self.gpu_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """What corea.plan shows."""

    cfg: PlanConfig
    shape: ModelShape
    gpu: Gpu | None
    estimate: Estimate
    cheapest: dict[str, tuple[Candidate, Estimate] | None]
    """"all weights" and "adapters" -> the cheapest setting that fits, None if none does; empty without a search."""


def plan_memory(cfg: PlanConfig) -> Memory:
    """Memory of one GPU."""
    return memory_of(setting_of(cfg, model_shape(cfg.model)))


def plan_training(cfg: PlanConfig) -> TrainingPlan:
    """The plan of a configuration.

    Raises:
        UserError: the model's sizes are unknown.
    """
    shape = model_shape(cfg.model)
    own = estimate(cfg, shape)
    searched = cfg.plan.search and own.seconds is not None and own.limit is not None
    found = cheapest(cfg, shape) if searched else {}
    return TrainingPlan(cfg=cfg, shape=shape, gpu=gpu_of(cfg), estimate=own, cheapest=found)


def estimate(cfg: PlanConfig, shape: ModelShape) -> Estimate:
    """Memory, seconds and cost of one setting."""
    setting, size = setting_of(cfg, shape), memory_bytes(cfg)
    return Estimate(
        gpus=cfg.gpus + server_gpus(cfg),
        memory=memory_of(setting),
        limit=None if size is None else size * (1 - cfg.plan.reserve),
        seconds=_seconds(cfg, shape),
        steps=cfg.trainer.steps,
        gpu_hour=cfg.plan.gpu_hour,
    )


def _seconds(cfg: PlanConfig, shape: ModelShape) -> Seconds | None:
    gpu, options = gpu_of(cfg), cfg.plan
    if gpu is None or (setting_of(cfg, shape).item == 4 and options.peak_tflops is None):
        return None
    rates = rates_of(
        gpu,
        options.peak_tflops or gpu.tflops,
        gpus=cfg.gpus,
        per_machine=options.gpus_per_machine,
        network_gbs=options.network_gbs,
        utilisation=options.utilisation,
        bandwidth_share=options.bandwidth_share,
        launch_ms=options.launch_ms,
    )
    return seconds_of(setting_of(cfg, shape), work_of(cfg), rates)


def work_of(cfg: PlanConfig) -> Work:
    """Lengths, passes and replicas of a step."""
    trainer, options, engine = cfg.trainer, cfg.plan, resolved_engine(cfg)
    several = trainer.minibatches * trainer.epochs > 1
    parallel = engine.tensor_parallel if isinstance(engine, VLLMEngineConfig) else 1
    captured = not isinstance(engine, HFEngineConfig) or engine.graphs
    if isinstance(engine, VLLMEngineConfig):
        captured = not engine.eager
    return Work(
        prompt=options.prompt_tokens or max(1, cfg.model.max_prompt_tokens // 4),
        completion=options.completion_tokens or max(1, cfg.model.max_tokens // 2),
        passes=trainer.epochs,
        scorings=int(several) + int(trainer.loss.kl > 0),
        share_prompt=trainer.share_prompt,
        captured=captured,
        replicas=server_gpus(cfg) or max(1, cfg.gpus // parallel),
        replica_gpus=parallel,
        gradings_per_s=options.gradings_per_s,
        ahead=trainer.off_policy_steps > 0 and isinstance(engine, VLLMServerEngineConfig),
    )


def cheapest(cfg: PlanConfig, shape: ModelShape) -> dict[str, tuple[Candidate, Estimate] | None]:
    """The setting with the fewest GPU hours of those that fit, with all weights and with adapters; of settings that
    cost the same to 1 %, the fastest."""
    found: dict[str, list[tuple[Candidate, Estimate]]] = {"all weights": [], "adapters": []}
    for candidate in candidates(cfg):
        figures = estimate(candidate.cfg, shape)
        if figures.fits:
            found["adapters" if candidate.adapters else "all weights"].append((candidate, figures))
    return {kind: _best(options) for kind, options in found.items()}


def _best(options: list[tuple[Candidate, Estimate]]) -> tuple[Candidate, Estimate] | None:
    if not options:
        return None
    hours = {id(figures): figures.gpu_hours or 0.0 for _, figures in options}
    least = min(hours.values())
    near = [option for option in options if hours[id(option[1])] <= 1.01 * least]
    return min(near, key=lambda option: option[1].seconds.step if option[1].seconds else 0.0)


def as_json(plan: TrainingPlan) -> dict[str, Any]:
    """The content of plan.json; sizes in bytes."""
    return {
        "model": {"path": plan.cfg.model.path, "parameters": plan.shape.parameters, **asdict(plan.shape)},
        "gpu": None if plan.gpu is None else asdict(plan.gpu),
        "plan": _estimate_json(plan.estimate),
        "cheapest": {
            kind: None if best is None else {"overrides": best[0].overrides, **_estimate_json(best[1])}
            for kind, best in plan.cheapest.items()
        },
        "assumptions": asdict(plan.cfg.plan),
    }


def _estimate_json(figures: Estimate) -> dict[str, Any]:
    memory, seconds = figures.memory, figures.seconds
    return {
        "gpus": figures.gpus,
        "memory": {phase: dict(parts) for phase, parts in memory.parts.items()},
        "peak": memory.peak,
        "cpu_memory": memory.cpu,
        "limit": figures.limit,
        "fits": figures.fits,
        "seconds": None if seconds is None else {**asdict(seconds), "step": seconds.step},
        "gpu_hours": figures.gpu_hours,
        "dollars": figures.dollars,
    }
