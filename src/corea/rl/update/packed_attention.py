"""Attention of a packed row: each tree alone, so that no token sees another sequence and nothing is padded.

Where flash-attention is installed and no prompt is shared, one call of its variable-length kernel computes all
sequences of the row. Otherwise sdpa computes one tree after another, causally or with the tree's mask: the blocks on
the diagonal of the mask of the whole row, without the rest of it.

Legend: L tokens of the row, H query heads, K key/value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import is_flash_attn_2_available

from corea.rl.update.batching import Block, MicroBatch, tree_mask

NAME = "corea_packed"
FLASH = "flash_attention_2"
Place = tuple[int, int, Tensor | None]
"""(start, stop, mask [1, 1, length, length] or None for causal) of a tree."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    packed_trees: list[Place],
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of query [1, H, L, D] on key and value [1, K, L, D].

    Returns:
        ([1, L, H, D], None)
    """
    parts = [
        sdpa_attention_forward(module, *(t[:, :, start:stop] for t in (query, key, value)), mask, **kwargs)[0]
        for start, stop, mask in packed_trees
    ]
    return torch.cat(parts, 1), None


ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)  # without a mask function: transformers then builds no mask


def packed_arguments(batch: MicroBatch, implementation: str) -> dict[str, Any]:
    """Keyword arguments of the decoder that its attention needs for a packed row; none for other micro-batches."""
    if batch.blocks is None:
        return {}
    if implementation == FLASH:
        ends = [0, *(block.stop for block in batch.blocks)]
        cumulative = torch.tensor(ends, dtype=torch.int32, device=batch.input_ids.device)
        longest = max(block.stop - block.start for block in batch.blocks)
        return {
            **{f"cu_seq_lens_{side}": cumulative for side in "qk"},
            **{f"max_length_{side}": longest for side in "qk"},
        }
    return {"packed_trees": [(block.start, block.stop, _mask(batch, block)) for block in batch.blocks]}


def _mask(batch: MicroBatch, block: Block) -> Tensor | None:
    if not block.shared or batch.segments is None:
        return None
    return tree_mask(batch.segments[None, block.start : block.stop])


@contextmanager
def attention_of(model: nn.Module, batch: MicroBatch) -> Iterator[str]:
    """Inside, the model uses the attention that the micro-batch needs; yields its name.

    A backward pass that recomputes activations has to run inside too.
    """
    config = model.config.get_text_config()
    before = config._attn_implementation
    if batch.blocks is not None:
        config._attn_implementation = FLASH if _flash_computes(model, batch.blocks) else NAME
    try:
        yield config._attn_implementation
    finally:
        config._attn_implementation = before


def _flash_computes(model: nn.Module, blocks: list[Block]) -> bool:
    plain = not any(block.shared for block in blocks)
    half = model.dtype in (torch.bfloat16, torch.float16)
    return plain and half and model.device.type == "cuda" and is_flash_attn_2_available()


def run_decoder(model: nn.Module, batch: MicroBatch) -> Tensor:
    """Last hidden states [B, L, size] of a micro-batch."""
    with attention_of(model, batch) as implementation:
        return model.get_decoder()(
            input_ids=batch.input_ids,
            attention_mask=batch.mask,
            position_ids=batch.position_ids,
            use_cache=False,
            **packed_arguments(batch, implementation),
        ).last_hidden_state
