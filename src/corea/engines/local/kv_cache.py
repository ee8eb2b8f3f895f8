"""A preallocated key/value cache: written in place; rows are dropped by moving others into their places.

Legend: R rows of the batch, H key/value heads, C capacity (columns), D head size, P prompts, G completions per prompt.
Prompts are right-aligned: column `width` - 1 holds the last token of every prompt, column `width` the first new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(slots=True)
class Window:
    """Position of the next write; shared by all layers of a cache."""

    rows: int
    """Rows in the batch."""
    width: int
    """Columns of the longest prompt."""
    shortest: int
    """Columns of the shortest prompt."""
    capacity: int
    """Allocated columns."""
    filled: int = 0
    """Columns written so far."""
    first: int = 0
    """First prompt of the range that is being prefilled."""
    copies: int = 1
    """G: prompt p fills the rows p x G to p x G + G - 1."""
    prefill: bool = True


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer: buffers [R, H, C, D]."""

    is_sliding = False

    def __init__(self, window: Window):
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate the buffers. Columns before a shorter prompt are set to zero: a masked column has weight 0, and
        0 x NaN is NaN."""
        w = self.window
        self.keys = key_states.new_empty(w.rows, key_states.shape[1], w.capacity, key_states.shape[3])
        self.values = value_states.new_empty(w.rows, value_states.shape[1], w.capacity, value_states.shape[3])
        for buffer in (self.keys, self.values):
            buffer[:, :, : w.width - w.shortest] = 0
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write [R, H, T, D] and return everything that the new tokens may attend to, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        w = self.window
        if w.prefill:
            count, length = key_states.shape[0], key_states.shape[2]
            part = slice(w.first * w.copies, (w.first + count) * w.copies)
            for buffer, states in ((self.keys, key_states), (self.values, value_states)):
                target = buffer[part, :, w.width - length : w.width].unflatten(0, (count, w.copies))
                target.copy_(states[:, None].expand_as(target))
            return key_states, value_states
        end = w.filled + key_states.shape[2]
        self.keys[: w.rows, :, w.filled : end] = key_states
        self.values[: w.rows, :, w.filled : end] = value_states
        return self.keys[: w.rows, :, :end], self.values[: w.rows, :, :end]

    def get_seq_length(self) -> int:
        return 0 if self.window.prefill else self.window.filled

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """All layers of a batch.

    Use: `prefill(first)`, then a forward pass over prompts [first, first + p); after all of them `decode()`; then
    `make_room()` before each forward pass of one token a row, and `advance()` after it.
    """

    def __init__(self, layers: int, *, prompts: int, copies: int, shortest: int, width: int, room: int):
        """Capacity for `prompts` x `copies` rows of `width` + `room` columns; it grows when needed."""
        self.window = Window(
            rows=prompts * copies, width=width, shortest=shortest, capacity=width + room, copies=copies
        )
        super().__init__(layers=[SlotLayer(self.window) for _ in range(layers)])

    def prefill(self, first: int) -> None:
        """Prepare for a forward pass over prompts from number `first` on."""
        self.window.first = first

    def decode(self) -> None:
        """End prefilling: from now on each forward pass adds one column."""
        self.window.prefill = False
        self.window.filled = self.window.width

    def make_room(self) -> None:
        """Grow by half (at least 64 columns) if the next column does not fit."""
        w = self.window
        if w.filled < w.capacity:
            return
        w.capacity += max(64, w.capacity // 2)
        for layer in self.layers:
            for name in ("keys", "values"):
                old = getattr(layer, name)
                new = old.new_empty(w.rows, old.shape[1], w.capacity, old.shape[3])
                new[:, :, : w.filled] = old[: w.rows, :, : w.filled]
                setattr(layer, name, new)

    def advance(self) -> None:
        """Count the column that the forward pass has filled."""
        self.window.filled += 1

    def move(self, sources: Tensor, targets: Tensor, rows: int) -> None:
        """Copy rows `sources` to rows `targets` and keep only the first `rows` rows."""
        w = self.window
        if len(sources):
            for layer in self.layers:
                for buffer in (layer.keys, layer.values):
                    used = buffer[:, :, : w.filled]
                    used.index_copy_(0, targets, used.index_select(0, sources))
        w.rows = rows
