"""Attention of a decode step that copies no keys and values for query heads, or for the rows of a prompt.

With a mask, the sdpa function of transformers repeats keys and values for each query head of a group at every token: 7
times the cache for Qwen2.5-0.5B. Here the heads of a group are passed as query positions instead. Where prompts are
held once for all of their completions, shared_prompts.py computes the attention.

Legend: R rows, H query heads, K key/value heads, D head size, L columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from corea.engines.local.shared_prompts import CURRENT

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "corea_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of query [R, H, 1, D] on key and value [R, K, L, D]; other cases are passed to transformers.

    Returns:
        ([R, 1, H, D], None)
    """
    slots = CURRENT.get()
    if slots is not None and slots.joins:
        return slots.attend(module.layer_idx, query, key, value, scaling), None
    if slots is not None:
        slots.note(getattr(module, "layer_idx", None), (query, key, value), attention_mask, kwargs)
    rows, heads, length, size = query.shape
    kv_heads = key.shape[1]
    if length > 1 or heads == kv_heads or attention_mask is None or kwargs.get("position_bias") is not None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    grouped = query.view(rows, kv_heads, heads // kv_heads, size)
    mask = attention_mask.expand(-1, -1, heads // kv_heads, -1)
    output = torch.nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(rows, 1, heads, -1), None


ALL_ATTENTION_FUNCTIONS.register(NAME, grouped_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)


@contextmanager
def grouped(model: PreTrainedModel) -> Iterator[None]:
    """Inside, a model with sdpa attention uses `grouped_attention`."""
    config = model.config.get_text_config()
    before = config._attn_implementation
    if before == "sdpa":
        config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
