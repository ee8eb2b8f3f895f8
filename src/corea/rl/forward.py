"""Log-probabilities of completion tokens: the only place where the trained model is run forward.

The output layer is applied at completion positions alone, in chunks whose logits are computed again in the backward
pass, so the logits of a whole batch never exist (64 x 1024 x 152k of them are 40 GB).

Legend: B trees, L input tokens, H hidden size, N completion tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from corea.rl.batching import MicroBatch

CHUNK_LOGITS = 1 << 25
"""Logits that exist at one time: 128 MiB of float32."""


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
        scores = torch.log_softmax(logits if self.temperature == 1 else logits / self.temperature, -1)
        with torch.no_grad():
            entropy = -scores.exp().mul_(scores).sum(-1)  # in place: [n, V] is the largest tensor there is
        return scores.gather(-1, targets[:, None])[:, 0], entropy


def supports_trees(model: nn.Module) -> bool:
    """True where an attention mask of our own reaches every layer: sdpa attention without a sliding window."""
    config = model.config
    windows = any("sliding" in kind for kind in getattr(config, "layer_types", None) or [])
    return config._attn_implementation == "sdpa" and not windows
