"""Attention of a decode step on prompts that are held once for all of their completions.

The unfinished rows of a prompt are the queries of one attention on its keys; a second attention covers the new tokens
of each row. Torch's attention for CPUs returns, beside its output, the logarithm of the sum of exponentials; the two
outputs weighted by these sums are the output of one softmax over all columns (Hydragen, arXiv 2402.05099).

Legend: R rows, P prompts, S slots of a prompt (the most rows that one has), K key/value heads, g query heads of each,
D head size, T new tokens of a row, W columns of the longest prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

ATTENTION = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
"""No public function returns both the output and the logarithm of the sum."""
UNUSUAL = ("position_bias", "softcap", "s_aux", "indices", "block_indices")
"""Arguments of attention that change its scores or leave out keys."""
CURRENT: ContextVar[Slots | None] = ContextVar("slots", default=None)
"""Set while a batch in the shared layout is decoded."""


def can_share(model: torch.nn.Module, device: torch.device) -> bool:
    """Whether torch has the attention that this module needs, for the device and the type of the weights."""
    return ATTENTION is not None and device.type == "cpu" and model.dtype in (torch.float32, torch.bfloat16)


class Slots:
    """Which prompt each row belongs to, and its slot among the rows of that prompt."""

    def __init__(self, lengths: Sequence[int], copies: int, dtype: torch.dtype):
        """
        Args:
            lengths: [P] tokens of each prompt.
            copies: rows of each prompt; they are adjacent.
        """
        width = max(lengths)
        self.prompts, self.size = len(lengths), copies
        self.owners = torch.arange(len(lengths)).repeat_interleave(copies)  # [R] prompt of each row
        self.places: Tensor | None = None  # [R] slot of each row, one of P x S; None: row r is in slot r
        self.bias: Tensor | None = None  # [P, 1, 1, W] -inf before a prompt, else 0; None: prompts are equally long
        if min(lengths) != width:
            before = torch.arange(width) < width - torch.tensor(lengths)[:, None]
            self.bias = torch.zeros(before.shape, dtype=dtype).masked_fill_(before, -torch.inf)[:, None, None]
        self.joins = False
        """Prompts are prefilled, and attention is to join both parts."""
        self.noted = set[int]()
        self.refused = False
        self.masks: list[Tensor | None] = []  # that of the first layer of a forward pass
        self.layers: Sequence[Any] = ()
        """Layers of the cache; each has `prompts`: keys and values [P, K, W, D]."""

    def new_pass(self) -> None:
        """Called before each forward pass over prompts."""
        self.masks = []

    def note(
        self, layer: int | None, states: Sequence[Tensor], mask: Tensor | None, arguments: Mapping[str, Any]
    ) -> None:
        """Called by the attention of each layer on the prompts, with query, key and value, [P, heads, W, D].

        `attend` can take the place of a softmax over the keys of the prompt and of the new tokens. A layer with a mask
        of its own, other arguments, or values of another size than the keys computes something else.
        """
        if not self.masks:
            self.masks.append(mask)
        shared_mask = mask is self.masks[0] and (mask is None or (mask.dtype == torch.bool and mask.shape[1] == 1))
        one_size = len({part.shape[-1] for part in states}) == 1
        usual = all(arguments.get(name) is None for name in UNUSUAL)
        if layer is None or not (shared_mask and one_size and usual):
            self.refused = True
        else:
            self.noted.add(layer)

    def start(self) -> bool:
        """End prefilling; False if `attend` cannot take the place of the attention of every layer."""
        self.joins = not self.refused and self.noted == set(range(len(self.layers)))
        return self.joins

    def move(self, sources: Tensor, targets: Tensor, rows: int) -> Tensor | None:
        """Rows `sources` have moved to `targets`, and only the first `rows` rows are left.

        Returns:
            Indices of the prompts to keep, if at least a quarter of them have no row any more.
        """
        self.owners[targets] = self.owners[sources]
        self.owners = self.owners[:rows]
        counts = torch.bincount(self.owners, minlength=self.prompts)
        kept = counts.nonzero()[:, 0]
        dropped = 4 * len(kept) <= 3 * self.prompts
        if dropped:
            self.owners = ((counts > 0).cumsum(0) - 1)[self.owners]
            counts, self.prompts = counts[kept], len(kept)
            self.bias = None if self.bias is None else self.bias[kept]
        self.size = int(counts.max())
        owners, order = self.owners.sort(stable=True)
        self.places = torch.empty_like(owners)
        self.places[order] = owners * self.size + torch.arange(rows) - (counts.cumsum(0) - counts)[owners]
        return kept if dropped else None

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float | None) -> Tensor:
        """Attention of query [R, K x g, 1, D] on the prompts of `layer` and on the new tokens, [R, K, T, D].

        Returns:
            [R, 1, K x g, D]
        """
        assert ATTENTION is not None
        rows, heads, _, width = query.shape
        kv_heads = keys.shape[1]
        query = query.reshape(rows, kv_heads, heads // kv_heads, width)
        new, new_sum = ATTENTION(query, keys, values, scale=scale)
        prompt, prompt_sum = ATTENTION(
            self._by_prompt(query), *self.layers[layer].prompts, attn_mask=self.bias, scale=scale
        )
        prompt, prompt_sum = (self._by_row(part, kv_heads) for part in (prompt, prompt_sum[..., None]))
        share = torch.sigmoid(prompt_sum - new_sum[..., None]).to(query.dtype)
        return torch.lerp(new, prompt, share).reshape(rows, 1, heads, width)

    def _by_prompt(self, query: Tensor) -> Tensor:
        """[R, K, g, D] -> [P, K, S x g, D]; a slot without a row has zeros."""
        _, kv_heads, group, width = query.shape
        if self.places is not None:
            slots = query.new_zeros(self.prompts * self.size, kv_heads, group, width)
            query = slots.index_copy_(0, self.places, query)
        by_prompt = query.view(self.prompts, self.size, kv_heads, group, width).transpose(1, 2)
        return by_prompt.reshape(self.prompts, kv_heads, self.size * group, width)

    def _by_row(self, found: Tensor, kv_heads: int) -> Tensor:
        """[P, K, S x g, D] -> [R, K, g, D]"""
        width = found.shape[-1]
        slots = found.view(self.prompts, kv_heads, self.size, -1, width).transpose(1, 2)
        slots = slots.reshape(self.prompts * self.size, kv_heads, -1, width)
        return slots if self.places is None else slots[self.places]
