"""The trainer's weights for engines that keep their own copy, and the check that both agree."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from corea.engines.protocols import AdapterEngine, TrainingEngine
from corea.errors import UserError
from corea.rl.update.lora import merged_state_dict, write_adapter
from corea.rl.update.policy import Policy

BUCKET = 64 * 2**20
"""Parameter elements that are gathered at a time under ZeRO-3."""


def trained_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, weight) of the current model. Lazy: an engine that shares the module reads none.

    Under ZeRO-3 one bucket of parameters is gathered at a time. Adapters are merged into the weights they adapt, so an
    engine sees an ordinary model.
    """
    if policy.adapters is None:
        yield from _gathered(policy)
        return
    with policy.gathered():
        yield from merged_state_dict(policy.model).items()


def hand_over(engine: TrainingEngine, policy: Policy) -> None:
    """Give the engine the current weights: the adapters alone where it takes them, else all weights. Every rank calls
    this."""
    if policy.adapters is not None and isinstance(engine, AdapterEngine) and engine.takes_adapters:
        engine.sync_adapter(lambda folder: write_adapter(policy.adapters, folder))
    else:
        engine.sync(trained_weights(policy))


def _gathered(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    # Tied weights appear under each of their names: vLLM keeps a packed copy of the output layer and needs its name.
    named = list(policy.model.named_parameters(remove_duplicate=False))
    if policy.cfg.zero_stage < 3:
        yield from ((name, p.data) for name, p in named)
        return
    import deepspeed

    while named:
        bucket: list[tuple[str, Any]] = []
        size = 0
        while named and (not bucket or size + named[0][1].ds_numel <= BUCKET):
            bucket.append(named.pop(0))
            size += bucket[-1][1].ds_numel
        with deepspeed.zero.GatheredParameters([p for _, p in bucket]):
            yield from [(name, p.data.clone()) for name, p in bucket]


def require_parity(metrics: Mapping[str, float], limit: float | None, *, step: int) -> None:
    """Stop the run if the engine samples from a different distribution than the trainer computes.

    Raises:
        UserError: the mean |difference| of log-probabilities exceeds `limit` (None: no limit), or the engine gave no
            finite log-probability at all.
    """
    gap = metrics["logprob_gap/mean"]
    if math.isnan(gap):
        raise UserError(
            f"step {step}: none of the engine's {metrics['missing_logprobs']:.0f} log-probabilities is a finite "
            "number; check the engine's number format (model.dtype=float32) or take engine=hf"
        )
    if limit is not None and gap > limit:
        raise UserError(
            f"step {step}: the engine's log-probabilities differ from the trainer's by {gap:.4f} on average (maximum "
            f"{metrics['logprob_gap/max']:.4f}), and engine.max_logprob_gap={limit:g}. Its weights, number format or "
            "sampling differ from the trainer's, so updates would be biased. Take model.dtype=float32, engine=hf, or a "
            "larger limit if the number format explains the difference"
        )
