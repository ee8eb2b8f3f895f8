"""Log-probabilities of completion tokens: the only place where the trained model is run forward.

The output layer is applied at completion positions alone, in chunks whose logits are computed again in the backward
pass, so the logits of a whole batch never exist (64 x 1024 x 152k of them are 40 GB).

Legend: B trees, L input tokens, H hidden size, N completion tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from corea.errors import UserError
from corea.rl.batching import MicroBatch

CHUNK_LOGITS = 1 << 25
"""Logits that are computed at one time, 128 MiB of float32. Smaller chunks read the output matrix so often that it, not
the arithmetic, would set the pace."""


class TokenLogprobs(nn.Module):
    """A causal language model as a function from micro-batch to log-probabilities."""

    def __init__(self, model: nn.Module, temperature: float, chunk_logits: int = CHUNK_LOGITS):
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.chunk = max(1, chunk_logits // model.config.vocab_size)

    def forward(self, batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """(logprobs [N] float32, entropy [N] of the next-token distribution, without gradient)."""
        hidden = self.model.get_decoder()(
            input_ids=batch.input_ids, attention_mask=batch.mask, position_ids=batch.position_ids, use_cache=False
        ).last_hidden_state  # [B, L, H]
        chosen = hidden.flatten(0, 1)[batch.source]  # [N, H]
        if len(chosen) <= self.chunk:
            return self._score(chosen, batch.targets)
        parts = [
            checkpoint(self._score, rows, targets, use_reentrant=False)
            for rows, targets in zip(chosen.split(self.chunk), batch.targets.split(self.chunk), strict=True)
        ]
        logprobs, entropy = zip(*parts, strict=True)
        return torch.cat(logprobs), torch.cat(entropy)

    def _score(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """[n, H], [n] -> ([n], [n]); the sampler's distribution: temperature, nothing cut off."""
        logits = self.model.get_output_embeddings()(hidden).float()  # [n, V]
        return _Scores.apply(logits if self.temperature == 1 else logits / self.temperature, targets)


class _Scores(torch.autograd.Function):
    """log_softmax, gather and entropy, with the same figures as torch's own functions, but two tensors of [n, V] at one
    time where those hold four: there are no larger ones. The logits are overwritten; both kernels go row by row and
    read a value before they write it, so in place is safe."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.ops.aten._log_softmax.out(logits, -1, False, out=logits)  # [n, V]
        ctx.save_for_backward(scores, targets)
        entropy = -scores.exp().mul_(scores).sum(-1)
        ctx.mark_non_differentiable(entropy)
        return scores.gather(-1, targets[:, None])[:, 0], entropy

    @staticmethod
    def backward(ctx, grad: Tensor, _: Tensor) -> tuple[Tensor, None]:
        scores, targets = ctx.saved_tensors
        slope = torch.zeros_like(scores).scatter_(-1, targets[:, None], grad[:, None])
        return torch.ops.aten._log_softmax_backward_data.out(slope, scores, -1, scores.dtype, out=slope), None


def supports_trees(model: nn.Module) -> bool:
    """True where an attention mask of our own reaches every layer: sdpa attention without a sliding window."""
    config = model.config
    windows = any("sliding" in kind for kind in getattr(config, "layer_types", None) or [])
    return config._attn_implementation == "sdpa" and not windows


@torch.no_grad()
def require_plain_head(model: nn.Module) -> None:
    """Refuse a model whose logits are not its output layer alone.

    Raises:
        UserError: they are scaled or soft-capped behind it, so log-probabilities here would not be the sampler's.
    """
    ids = torch.tensor([[0, 1]], device=next(model.parameters()).device)
    plain = model.get_output_embeddings()(model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state)
    if not torch.allclose(model(input_ids=ids, use_cache=False).logits, plain, rtol=1e-2, atol=1e-3):
        raise UserError(
            f"model.path={model.name_or_path}: its logits are scaled or capped behind the output layer, which training "
            "does not do; allowed is a model without final_logit_softcapping, logit_scale and logits_scaling"
        )
