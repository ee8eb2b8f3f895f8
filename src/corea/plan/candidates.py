"""The settings that the search for the cheapest one tries: ZeRO stage, offloading, adapters, number of GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

from corea.config import PlanConfig
from corea.config.checks import shown

PRESETS = {
    "zero1": {"zero_stage": 1, "offload": False},
    "zero2": {"zero_stage": 2, "offload": False},
    "zero3": {"zero_stage": 3, "offload": False},
    "zero1_offload": {"zero_stage": 1, "offload": True},
    "zero2_offload": {"zero_stage": 2, "offload": True},
    "zero3_offload": {"zero_stage": 3, "offload": True},
}
"""What the presets of conf/trainer say about memory; all recompute activations."""
RANK = 32
"""Rank of the adapters that are tried, unless the configuration has another (conf/trainer/lora.yaml)."""
MOST_GPUS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One setting."""

    preset: str
    """Name of the preset."""
    cfg: PlanConfig
    """The configuration with the preset's memory settings; the questions and completions of a step stay."""
    overrides: str
    """The changes to the given configuration, as overrides of corea.train, whose launcher sets the number of GPUs."""

    @property
    def adapters(self) -> bool:
        """Whether adapters are trained instead of all weights."""
        return self.cfg.trainer.lora.rank > 0


def candidates(cfg: PlanConfig) -> Iterator[Candidate]:
    """Every preset, with and without adapters, on 1, 2, 4, ... GPUs and on the configured number."""
    counts = sorted({cfg.gpus, *(2**k for k in range(MOST_GPUS.bit_length()) if 2**k <= MOST_GPUS)})
    for gpus in counts:
        if gpus > cfg.trainer.questions:  # each process needs a question
            continue
        if gpus % getattr(cfg.engine, "tensor_parallel", 1):  # the ranks of a copy of the model sample together
            continue
        for preset, memory in PRESETS.items():
            for rank in (0, cfg.trainer.lora.rank or RANK):
                if rank and memory["zero_stage"] == 3:  # the configuration refuses it
                    continue
                yield _candidate(cfg, preset, gpus, rank)


def _candidate(cfg: PlanConfig, preset: str, gpus: int, rank: int) -> Candidate:
    changed = deepcopy(cfg)
    changed.gpus = gpus
    trainer = changed.trainer
    trainer.zero_stage, trainer.offload = int(PRESETS[preset]["zero_stage"]), bool(PRESETS[preset]["offload"])
    trainer.gradient_checkpointing = True
    trainer.lora.rank = rank
    keys = [
        f"trainer.zero_stage={trainer.zero_stage}",
        "trainer.gradient_checkpointing=true",
        f"trainer.offload={shown(trainer.offload)}",
        f"trainer.lora.rank={rank}",
    ]
    return Candidate(preset=preset, cfg=changed, overrides=" ".join(keys))
