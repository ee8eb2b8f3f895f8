"""Log-probabilities of completion tokens. Every forward pass of the update goes through this module.

The output layer is applied only at completion positions, in chunks (output_layer.py).

Legend: B trees, L input tokens, H hidden size, N completion tokens, of which M state a confidence, K number tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from corea.errors import UserError
from corea.rl.update.batching import MicroBatch, Row, build_micro_batch
from corea.rl.update.output_layer import CHUNK_LOGITS, inside, token_scores, token_shares
from corea.rl.update.packed_attention import run_decoder


class TokenLogprobs(nn.Module):
    """Wraps a causal language model as a module from micro-batch to log-probabilities."""

    def __init__(
        self,
        model: nn.Module,
        temperature: float,
        chunk_logits: int = CHUNK_LOGITS,
        number_ids: Sequence[int] = (),
    ):
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.chunk = max(1, chunk_logits // model.config.vocab_size)
        self.number_ids = list(number_ids)

    def forward(self, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Run the model.

        Returns:
            (logprobs [N] float32, entropy [N] of the next-token distribution without gradient, probabilities [M, K]
            float32 of the number tokens where a confidence is stated), at the temperature of sampling.
        """
        hidden = run_decoder(self.model, batch)  # [B, L, H]
        layer, places = self.model.get_output_embeddings(), batch.choice_places

        def scores(chosen: Tensor) -> tuple[Tensor, Tensor]:
            logprobs, entropy = token_scores(layer, chosen, batch.targets, self.temperature, self.chunk)
            if not len(places):
                return logprobs, entropy
            stated = repeated_rows(chosen, places)
            shares = token_shares(layer, stated, self.number_ids, self.temperature, self.chunk)
            return torch.cat([logprobs, shares.flatten()]), entropy

        both, entropy = inside(layer, scores, repeated_rows(hidden.flatten(0, 1), batch.source))
        logprobs, shares = both.split([len(batch.targets), len(both) - len(batch.targets)])
        return logprobs, entropy, shares.view(len(places), len(self.number_ids))


def repeated_rows(hidden: Tensor, source: Tensor) -> Tensor:
    """Rows `source` [N] of `hidden` [M, H], with a gradient that is equal to the bit in every run.

    `hidden[source]` adds the gradients of a repeated row (the end of a prompt has one per completion) in whatever
    order its threads come: the rounding depends on the load of the machine.
    """
    return functional.embedding(source, hidden)


def supports_trees(model: nn.Module) -> bool:
    """True if a custom attention mask reaches every layer: sdpa attention without a sliding window."""
    config = model.config
    windows = any("sliding" in kind for kind in getattr(config, "layer_types", None) or [])
    return config._attn_implementation == "sdpa" and not windows


@torch.no_grad()
def require_packing(model: nn.Module) -> None:
    """Check that each sequence of a packed row gets the hidden states that it gets alone.

    Raises:
        UserError: it does not, because a layer has a sliding window or an attention of its own.
    """
    rows = [
        Row(prompt_ids=[1, 2], token_ids=[token, 3, 1], rollout_logprobs=[], advantages=[], weight=0.0)
        for token in (1, 2)
    ]
    device = next(model.parameters()).device
    windowed = not supports_trees(model) or getattr(model.config, "sliding_window", None) is not None
    if not windowed:
        packed = build_micro_batch([[row] for row in rows], pad=0, packing=True).to(device)
        alone = build_micro_batch([[row] for row in rows], pad=0).to(device)
        together, apart = (run_decoder(model, batch).flatten(0, 1).float() for batch in (packed, alone))
        limit = 1e-3 if model.dtype == torch.float32 else 5e-2
        if (together - apart).norm() <= limit * apart.norm():
            return
    raise UserError(
        f"trainer.packing=true: {model.name_or_path} does not compute the sequences of a packed row apart (a sliding "
        "window, or an attention of its own); allowed is false"
    )


@torch.no_grad()
def require_plain_head(model: nn.Module) -> None:
    """Check that the model's logits are the plain output of its output layer.

    Raises:
        UserError: they are scaled or soft-capped afterwards, so the log-probabilities computed here would differ from
            those of the sampling engine.
    """
    ids = torch.tensor([[0, 1]], device=next(model.parameters()).device)
    plain = model.get_output_embeddings()(model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state)
    if not torch.allclose(model(input_ids=ids, use_cache=False).logits, plain, rtol=1e-2, atol=1e-3):
        raise UserError(
            f"model.path={model.name_or_path}: its logits are scaled or capped after the output layer, which training "
            "does not support; allowed is a model without final_logit_softcapping, logit_scale and logits_scaling"
        )
