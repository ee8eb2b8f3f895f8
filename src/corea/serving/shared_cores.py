"""Processor cores for several local models in one process, each of which would take all of them for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

from corea.serving.queued_tier import QueuedTier
from corea.serving.tier_calls import LiveTier


def share_cores(tiers: Iterable[LiveTier], workers: int = 1) -> None:
    """Divide the cores among the models that compute on them. Call before the first question.

    Each model gets an equal part of the threads, unless OMP_NUM_THREADS names a number: more threads than cores wait
    for one another. Where there are fewer cores than models, these work in turn, so that batches are larger instead.

    Args:
        workers: processes that each load all models.
    """
    local = [tier for tier in tiers if isinstance(tier, QueuedTier) and _on_processor(tier)]
    if not local:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not os.environ.get("OMP_NUM_THREADS"):
        import torch

        torch.set_num_threads(max(1, min(torch.get_num_threads(), cores // (len(local) * workers))))
    if cores < len(local):
        turn = asyncio.Lock()
        for tier in local:
            tier.queue.turn = turn


def _on_processor(tier: QueuedTier) -> bool:
    """Whether an engine holds a model of torch on the CPU."""
    device = getattr(getattr(tier.engine, "model", None), "device", None)
    return getattr(device, "type", None) == "cpu"
