"""How much of the device a step uses: operations per second of the update, their share of the peak, tokens per GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from corea.gpus import known_gpu
from corea.model_shape import ModelShape, shape_of
from corea.rl.run import distributed

if TYPE_CHECKING:
    from torch import nn


def known_shape(model: nn.Module) -> ModelShape | None:
    """Shape of the trained model; None for an architecture whose operations corea does not count."""
    try:
        return shape_of(model.config)
    except AttributeError:
        return None


def peak_flops(dtype: torch.dtype, given_tflops: float | None) -> float | None:
    """Peak of this process's device in operations per second: `given_tflops`, or that of a known GPU for 16-bit
    weights; None where it is unknown, as on a CPU."""
    if given_tflops is not None:
        return given_tflops * 1e12
    if not torch.cuda.is_available() or dtype not in (torch.bfloat16, torch.float16):
        return None
    gpu = known_gpu(torch.cuda.get_device_name())
    return None if gpu is None else gpu.tflops * 1e12


def speed_metrics(
    flops: float, tokens: float, seconds: Mapping[str, float], elapsed: float, peak: float | None
) -> dict[str, float]:
    """Metrics of a step.

    Args:
        flops: operations of the update, of all ranks; 0 if unknown.
        tokens: prompt and completion tokens of the rollouts, of all ranks.
        seconds: seconds of this rank's phases.
        elapsed: seconds of the step.
        peak: operations per second of one device.
    """
    ranks = distributed.world_size()
    found = {"speed/tokens_per_s_gpu": tokens / elapsed / ranks}
    updating = seconds["logprobs"] + seconds["update"]
    if flops and updating:
        reached = flops / ranks / updating
        found["speed/update_tflops"] = reached / 1e12
        if peak is not None:
            found["speed/mfu"] = reached / peak
    return found
