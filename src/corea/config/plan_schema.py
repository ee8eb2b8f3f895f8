"""Root schema of the verb corea.plan: the configuration of corea.train, the GPUs, and assumptions of the estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from corea.config.checks import above, at_least, check, checked, nested, one_of, require, within
from corea.config.roots import TrainConfig

GPU_NAMES = ("b200", "h200", "h100", "h100_nvl", "h100_pcie", "a100", "a100_40gb", "l40s", "l4", "a10", "mi300x", "cpu")
"""Those of corea.gpus; "cpu" plans memory alone."""


@dataclass
class PlanOptionsConfig:
    """Assumptions of the estimate; docs/scale.md has the formulas."""

    gpu_hour: Optional[float] = checked(None, at_least(0))
    """Dollars per GPU and hour; null: the cost is given in GPU hours alone."""
    reserve: float = checked(0.1, within(0, 0.9))
    """Share of a GPU's memory that stays free, for the CUDA context, communication buffers and fragmentation."""
    memory_gb: Optional[float] = checked(None, above(0))
    """Memory of a GPU in 10^9 bytes; null: that of `gpu`."""
    peak_tflops: Optional[float] = checked(None, above(0))
    """Peak of a GPU in TFLOP/s; null: that of `gpu`."""
    utilisation: float = checked(0.35, within(0.01, 1))
    """Share of the peak that matrix products reach in the update and over prompts."""
    bandwidth_share: float = checked(0.6, within(0.01, 1))
    """Share of the memory's bandwidth that decoding reaches."""
    network_gbs: float = checked(50.0, above(0))
    """Bandwidth of a GPU to other machines, one direction, 10^9 bytes per second (50: a 400 Gbit/s adapter per GPU)."""
    gpus_per_machine: int = checked(8, at_least(1))
    """GPUs of a machine, which its own links connect."""
    launch_ms: float = checked(0.7, at_least(0))
    """Least time per layer and decoding step of an engine without captured graphs, in milliseconds."""
    prompt_tokens: Optional[int] = checked(None, at_least(1))
    """Mean length of a prompt, for the time; null: a quarter of model.max_prompt_tokens."""
    completion_tokens: Optional[int] = checked(None, at_least(1))
    """Mean length of a completion, for the time; null: half of model.max_tokens."""
    gradings_per_s: float = checked(1000.0, above(0))
    """Answers that a process grades per second."""
    search: bool = True
    """Also look for the cheapest preset that fits."""

    def __post_init__(self) -> None:
        check(self, "plan")


@dataclass
class PlanConfig(TrainConfig):
    """python -m corea.plan"""

    gpus: int = checked(1, at_least(1))
    """GPUs of the training, one process each."""
    gpu: str = checked("h100", one_of(*GPU_NAMES))
    """Kind of GPU."""
    plan: PlanOptionsConfig = nested(PlanOptionsConfig)
    """Assumptions of the estimate."""
    out: Optional[str] = None
    """Folder for plan.json; null: hydra.run.dir."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "")
        parallel = getattr(self.engine, "tensor_parallel", 1)
        require(self.gpus % parallel == 0, "gpus", self.gpus, f"a multiple of engine.tensor_parallel={parallel}")
        most = f"at most trainer.questions={self.trainer.questions}: each GPU needs a question of every step"
        require(self.gpus <= self.trainer.questions, "gpus", self.gpus, most)
        options = self.plan
        for key, mean, longest in (
            ("prompt_tokens", options.prompt_tokens, "max_prompt_tokens"),
            ("completion_tokens", options.completion_tokens, "max_tokens"),
        ):
            limit = getattr(self.model, longest)
            require(mean is None or mean <= limit, f"plan.{key}", mean, f"a mean up to model.{longest}={limit}")
