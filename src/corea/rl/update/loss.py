"""Policy loss: PPO clipping, truncated importance weights, KL to a reference, and the weights that average tokens.

Every average over the batch is a sum with weights that are fixed before the first backward pass
(`aggregation_weights`), so the loss and its gradients do not depend on the split into micro-batches or ranks.

Legend: R completions, N completion tokens of a micro-batch (flat, without padding).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from corea.config import LossConfig


def aggregation_weights(lengths: Sequence[int], kind: str, max_tokens: int) -> list[float]:
    """[R] weight of each token of each completion of the whole batch; the loss is sum(weight * token loss).

    Empty if no completion is in the loss.

    Args:
        lengths: [R] tokens of the completions that are in the loss, of all ranks.
        kind: token_mean 1 / sum(lengths); sequence_mean 1 / (R * own length); constant 1 / (R * max_tokens)
            (Dr. GRPO, arXiv 2503.20783).
    """
    rows = len(lengths)
    if not rows:
        return []
    if kind == "token_mean":
        return [1.0 / sum(lengths)] * rows
    if kind == "sequence_mean":
        return [1.0 / (rows * length) for length in lengths]
    return [1.0 / (rows * max_tokens)] * rows


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, kind: str) -> Tensor:
    """[N] estimates of KL(policy || reference) from samples of the policy (Schulman 2020, "Approximating KL").

    k1: log ratio; k2: half its square; k3: exp(-log ratio) - 1 + log ratio. A good estimate of the value need not have
    the gradient of the KL; see `kl_term`.
    """
    log_ratio = logprobs - ref_logprobs
    if kind == "k1":
        return log_ratio
    if kind == "k2":
        return 0.5 * log_ratio.square()
    return torch.expm1(-log_ratio) + log_ratio


def kl_term(logprobs: Tensor, ref_logprobs: Tensor, ratio: Tensor, cfg: LossConfig) -> Tensor:
    """[N] KL estimates whose gradient is that of KL(policy || reference), the reverse KL.

    The reverse KL has the gradient E[l * d log p] with l the log ratio to the reference, over samples of the policy.
    With `cfg.kl_importance` each estimate is weighted by `ratio`, which corrects for tokens sampled before the
    update (arXiv 2512.02556), and all three kinds have this gradient. For k1 and k3 the weight carries a gradient; for
    k2, whose own gradient is l * d log p, the weight is a constant. Without the weight, k2 has this gradient while the
    ratio is 1; k3 has that of the forward KL(reference || policy), as in GRPO (arXiv
    2402.03300); k1 has gradient 0 in expectation and is refused by the configuration. See arXiv 2506.09477 and
    2512.21852.

    Args:
        logprobs: [N] with gradient.
        ratio: [N] p(token) / p(token) before the first update on the batch, with gradient.
    """
    kl = kl_estimate(logprobs, ref_logprobs, cfg.kl_estimator)
    if not cfg.kl_importance:
        return kl
    return kl * (ratio.detach() if cfg.kl_estimator == "k2" else ratio)


def importance_weights(gap: Tensor, lengths: Tensor | None, cfg: LossConfig) -> tuple[Tensor, Tensor]:
    """Importance weights p_trainer / p_sampler of tokens, bounded by cfg.importance_cap; 1 without a cap.

    truncate: the cap replaces a larger weight (truncated importance sampling, Ionides 2008). mask: 0 does.

    Args:
        gap: [N] log p_trainer - log p_sampler of each token.
        lengths: [R] tokens of each completion, which sum to N; None: all are one completion.

    Returns:
        (weights [N], whether the cap applied [N] bool). At the level of sequences all tokens of a completion have the
        product of its ratios.
    """
    if cfg.importance_cap is None:
        return torch.ones_like(gap), torch.zeros_like(gap, dtype=torch.bool)
    level, _, limit = cfg.importance_mode.partition("_")
    if level == "sequence":
        lengths = torch.tensor([len(gap)], device=gap.device) if lengths is None else lengths
        gap = torch.segment_reduce(gap, "sum", lengths=lengths).repeat_interleave(lengths)
    ratio = torch.exp(gap)
    above = ratio > cfg.importance_cap
    return (ratio.clamp(max=cfg.importance_cap) if limit == "truncate" else ratio.masked_fill(above, 0.0)), above


def gap_sums(gap: Tensor, counted: Tensor) -> dict[str, Tensor]:
    """Distance of trainer and sampler: sums over the `counted` tokens of |gap| (gap), p_trainer / p_sampler (ratio) and
    the k3 estimate of KL(sampler || trainer) (drift); and the maximum of |gap| (gap_max).

    Args:
        gap: [N] log p_trainer - log p_sampler.
        counted: [N] 1, or 0 for a token that is left out.
    """
    return {
        "gap": (counted * gap.abs()).sum(),
        "gap_max": (counted * gap.abs()).max() if len(gap) else gap.new_zeros(()),
        "ratio": (counted * torch.exp(gap)).sum(),
        "drift": (counted * (torch.expm1(gap) - gap)).sum(),
    }


def policy_loss(
    logprobs: Tensor,
    *,
    old_logprobs: Tensor | None,
    rollout_logprobs: Tensor,
    advantages: Tensor,
    weights: Tensor,
    cfg: LossConfig,
    ref_logprobs: Tensor | None = None,
    kl_counted: Tensor | None = None,
    lengths: Tensor | None = None,
    stale: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """PPO's clipped objective (arXiv 1707.06347, equation 7), with separate bounds as in DAPO (arXiv 2503.14476).

    Clipping refers to the policy before the first update on the batch, the importance weight to the one that sampled it
    (decoupled PPO, arXiv 2110.00641): earlier weights, or an engine whose arithmetic differs.

    Args:
        logprobs: [N] under the policy being updated, with gradient.
        old_logprobs: [N] under the trainer's policy before the first update on this batch; None: `logprobs` itself (one
            update per batch), so the ratio is 1.
        rollout_logprobs: [N] under the engine that sampled the tokens. A token without a finite one is left out and
            counted; the denominator of the loss stays.
        advantages: [N] of each token.
        weights: [N] from `aggregation_weights`; 0 leaves a token out.
        ref_logprobs: [N] under the reference model; required if cfg.kl > 0.
        kl_counted: [N] 1 for a token in the KL term, else 0; None: all are.
        lengths: [R] tokens of each completion; None: all are one completion.
        stale: earlier weights sampled the batch: the importance weight applies to a KL term with cfg.kl_importance too.

    Returns:
        (loss, sums): a scalar whose sum over micro-batches is the loss of the batch; sums over tokens of nonzero
        weight: tokens, clipped, kl, capped, unknown (left out for lack of a finite rollout log-probability), and those
        of `gap_sums`.
    """
    known = torch.isfinite(rollout_logprobs)
    unknown = ((weights != 0) & ~known).float().sum()
    weights = weights * known
    before = logprobs.detach() if old_logprobs is None else old_logprobs
    ratio = torch.exp(logprobs - before)
    bounded = ratio.clamp(1 - cfg.eps_low, 1 + cfg.eps_high)
    token_loss = -torch.minimum(ratio * advantages, bounded * advantages)
    gap = torch.where(known, before - rollout_logprobs, 0.0)
    importance, above = importance_weights(gap, lengths, cfg)
    token_loss = token_loss * importance
    counted = (weights != 0).float()
    sums = {
        "tokens": counted.sum(),
        "clipped": (counted * ((ratio - bounded) * advantages > 0)).sum(),
        "capped": (counted * above).sum(),
        "unknown": unknown,
        **gap_sums(gap, counted),
    }
    if ref_logprobs is not None:
        factor = importance if stale and cfg.kl_importance else 1.0
        kl = kl_term(logprobs, ref_logprobs, ratio, cfg) * factor * (1.0 if kl_counted is None else kl_counted)
        token_loss = token_loss + cfg.kl * kl
        sums["kl"] = (counted * kl.detach()).sum()
    return (weights * token_loss).sum(), {name: value.detach() for name, value in sums.items()}
