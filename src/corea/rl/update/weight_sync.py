"""The trainer's weights for an engine that keeps a copy of its own, and the check that both agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from corea.errors import UserError
from corea.rl.update.lora import merged_state_dict
from corea.rl.update.policy import Policy

BUCKET = 64 * 2**20
"""Elements of the parameters that ZeRO-3 gathers at a time."""


def trained_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """(Hugging Face name, weight) of the model as it stands. Lazy: an engine that needs none takes none.

    Under ZeRO-3 a bucket of parameters is gathered at a time. Adapters are handed on merged into what they adapt, so an
    engine sees an ordinary model.
    """
    if policy.adapters is None:
        yield from _gathered(policy)
        return
    with policy.gathered():
        yield from merged_state_dict(policy.model).items()


def _gathered(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    # Tied weights under each of their names: vLLM keeps a packed copy of the output layer and wants it by its own.
    named = list(policy.model.named_parameters(remove_duplicate=False))
    if policy.cfg.zero_stage < 3:
        yield from ((name, p.data) for name, p in named)
        return
    import deepspeed

    while named:
        bucket, size = [], 0
        while named and (not bucket or size + named[0][1].ds_numel <= BUCKET):
            bucket.append(named.pop(0))
            size += bucket[-1][1].ds_numel
        with deepspeed.zero.GatheredParameters([p for _, p in bucket]):
            yield from [(name, p.data.clone()) for name, p in bucket]


def require_parity(metrics: Mapping[str, float], limit: float | None, *, step: int) -> None:
    """Stop where the engine samples from another distribution than the trainer computes.

    Raises:
        UserError: the mean |difference| of the log-probabilities is beyond `limit`.
    """
    gap = metrics["logprob_gap/mean"]
    if limit is not None and gap > limit:
        raise UserError(
            f"step {step}: the engine's log-probabilities differ from the trainer's by {gap:.4f} on average (at most "
            f"{metrics['logprob_gap/max']:.4f}), and engine.max_logprob_gap={limit:g}. Its weights, number format or "
            "sampling are not the trainer's, so the updates would be biased. Take model.dtype=float32, engine=hf, or a "
            "larger limit where the number format explains it"
        )
