"""Peak rates of GPUs, from their makers' data sheets: of `corea.plan`, and of the utilisation that training logs.

Rates are those of dense matrix products (without sparsity) in bfloat16 with float32 accumulation, in units of 10^12
floating-point operations per second; an addition and a multiplication are two operations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One kind of GPU."""

    name: str
    """Value of the key `gpu` of corea.plan."""
    tflops: float
    """Dense bfloat16 peak, TFLOP/s."""
    memory_gb: float
    """Memory in 10^9 bytes."""
    bandwidth_gbs: float
    """Bandwidth of the memory, 10^9 bytes per second."""
    link_gbs: float
    """Bandwidth to another GPU of the same machine, one direction, 10^9 bytes per second: NVLink or PCIe."""
    pattern: str
    """Regular expression for the name that the driver gives the device."""
    source: str
    """Where the figures stand."""


_TABLE = (
    Gpu(
        name="b200",
        tflops=2250,
        memory_gb=180,
        bandwidth_gbs=8000,
        link_gbs=900,
        pattern=r"B200",
        source="NVIDIA DGX B200 data sheet, per GPU",
    ),
    Gpu(
        name="h200",
        tflops=989.5,
        memory_gb=141,
        bandwidth_gbs=4800,
        link_gbs=450,
        pattern=r"H200",
        source="NVIDIA H200 data sheet, SXM",
    ),
    Gpu(
        name="h100_pcie",
        tflops=756,
        memory_gb=80,
        bandwidth_gbs=2000,
        link_gbs=64,
        pattern=r"H100 PCIe",
        source="NVIDIA H100 data sheet, PCIe, without an NVLink bridge",
    ),
    Gpu(
        name="h100_nvl",
        tflops=835.5,
        memory_gb=94,
        bandwidth_gbs=3900,
        link_gbs=300,
        pattern=r"H100 NVL",
        source="NVIDIA H100 data sheet, NVL, with its bridge",
    ),
    Gpu(
        name="h100",
        tflops=989.5,
        memory_gb=80,
        bandwidth_gbs=3350,
        link_gbs=450,
        pattern=r"H100",
        source="NVIDIA H100 data sheet, SXM",
    ),
    Gpu(
        name="a100_40gb",
        tflops=312,
        memory_gb=40,
        bandwidth_gbs=1555,
        link_gbs=300,
        pattern=r"A100.*40GB",
        source="NVIDIA A100 data sheet, SXM, 40 GB",
    ),
    Gpu(
        name="a100",
        tflops=312,
        memory_gb=80,
        bandwidth_gbs=2039,
        link_gbs=300,
        pattern=r"A100",
        source="NVIDIA A100 data sheet, SXM, 80 GB",
    ),
    Gpu(
        name="l40s",
        tflops=362,
        memory_gb=48,
        bandwidth_gbs=864,
        link_gbs=32,
        pattern=r"L40S",
        source="NVIDIA L40S data sheet",
    ),
    Gpu(
        name="l4",
        tflops=121,
        memory_gb=24,
        bandwidth_gbs=300,
        link_gbs=32,
        pattern=r"L4$",
        source="NVIDIA L4 data sheet",
    ),
    Gpu(
        name="a10",
        tflops=125,
        memory_gb=24,
        bandwidth_gbs=600,
        link_gbs=32,
        pattern=r"A10$",
        source="NVIDIA A10 data sheet",
    ),
    Gpu(
        name="mi300x",
        tflops=1307.4,
        memory_gb=192,
        bandwidth_gbs=5300,
        link_gbs=64,
        pattern=r"MI300X",
        source="AMD Instinct MI300X data sheet; the link is that of one pair of GPUs",
    ),
)

GPUS = {gpu.name: gpu for gpu in _TABLE}
"""Name -> GPU."""


def known_gpu(device_name: str) -> Gpu | None:
    """The GPU that the driver calls `device_name`, e.g. "NVIDIA H100 80GB HBM3"; None if the table lacks it."""
    return next((gpu for gpu in _TABLE if re.search(rf"\b{gpu.pattern}", device_name)), None)
