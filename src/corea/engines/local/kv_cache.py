"""A preallocated key/value cache: written in place; rows are dropped by moving others into their places.

It has two layouts. Whole: each row holds its prompt and its new tokens. Shared: each prompt is held once for its G
completions, and a row holds its new tokens alone. Attention joins both parts (shared_prompts.py); it reads G times
less memory for the prompts, and they need not be copied.

Legend: R rows of the batch, H key/value heads, C capacity (columns), D head size, P prompts, G completions per prompt.
Prompts are right-aligned: column `width` - 1 holds the last token of every prompt, column `width` the first new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from corea.engines.local.shared_prompts import Slots


@dataclass(slots=True)
class Window:
    """Position of the next write; shared by all layers of a cache."""

    rows: int
    """Rows in the batch."""
    width: int
    """Columns of the longest prompt."""
    shortest: int
    """Columns of the shortest prompt."""
    room: int
    """Allocated columns for new tokens."""
    new: int = 0
    """Columns of new tokens written so far."""
    first: int = 0
    """First prompt of the range that is being prefilled."""
    copies: int = 1
    """G: prompt p fills the rows p x G to p x G + G - 1."""
    prefill: bool = True
    slots: Slots | None = None
    """The shared layout; None: the whole one."""

    @property
    def start(self) -> int:
        """Columns of the prompt in each row."""
        return 0 if self.slots else self.width


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer: buffers [R, H, C, D]; in the shared layout, the prompts' own [P, H, width, D]."""

    is_sliding = False

    def __init__(self, window: Window):
        super().__init__()
        self.window = window
        self.prompts: tuple[Tensor, Tensor] | None = None

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate the buffers. Columns before a shorter prompt are set to zero: a masked column has weight 0, and
        0 x NaN is NaN."""
        w = self.window
        self.keys, self.values = (_buffer(states, w.rows, w.start + w.room) for states in (key_states, value_states))
        if w.slots:
            prompts = w.rows // w.copies
            self.prompts = _buffer(key_states, prompts, w.width), _buffer(value_states, prompts, w.width)
        for buffer in self.prompts or (self.keys, self.values):
            buffer[:, :, : w.width - w.shortest] = 0
        self.dtype, self.device = key_states.dtype, key_states.device
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write [R, H, T, D] and return what the new tokens may attend to, as views: everything, or in the shared
        layout the new tokens of each row."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        w = self.window
        if w.prefill:
            self._write_prompts(key_states, value_states)
            return key_states, value_states
        start = w.start + w.new
        end = start + key_states.shape[2]
        self.keys[: w.rows, :, start:end] = key_states
        self.values[: w.rows, :, start:end] = value_states
        return self.keys[: w.rows, :, :end], self.values[: w.rows, :, :end]

    def _write_prompts(self, key_states: Tensor, value_states: Tensor) -> None:
        w = self.window
        count, length = key_states.shape[0], key_states.shape[2]
        columns = slice(w.width - length, w.width)
        for number, states in enumerate((key_states, value_states)):
            if self.prompts:
                self.prompts[number][w.first : w.first + count, :, columns] = states
                continue
            part = slice(w.first * w.copies, (w.first + count) * w.copies)
            target = (self.keys, self.values)[number][part, :, columns].unflatten(0, (count, w.copies))
            target.copy_(states[:, None].expand_as(target))

    def copy_prompts(self) -> None:
        """Change from the shared to the whole layout, before the first new token."""
        if self.prompts is None:
            return
        w, prompts = self.window, self.prompts
        self.prompts = None
        self.keys, self.values = (_buffer(part, w.rows, w.width + w.room) for part in prompts)
        for buffer, part in zip((self.keys, self.values), prompts, strict=True):
            buffer[:, :, : w.width] = part.repeat_interleave(w.copies, 0)

    def get_seq_length(self) -> int:
        return 0 if self.window.prefill else self.window.width + self.window.new

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


def _buffer(like: Tensor, rows: int, columns: int) -> Tensor:
    return like.new_empty(rows, like.shape[1], columns, like.shape[3])


class SlotCache(Cache):
    """All layers of a batch.

    Use: `prefill(first)`, then a forward pass over prompts [first, first + p); after all of them `decode()`; then
    `make_room()` before each forward pass of one token a row, and `advance()` after it.
    """

    def __init__(
        self,
        layers: int,
        *,
        prompts: int,
        copies: int,
        shortest: int,
        width: int,
        room: int,
        slots: Slots | None = None,
    ):
        """Capacity for `prompts` x `copies` rows of `width` + `room` columns; it grows when needed.

        Args:
            slots: use the shared layout.
        """
        self.window = Window(
            rows=prompts * copies, width=width, shortest=shortest, room=room, copies=copies, slots=slots
        )
        super().__init__(layers=[SlotLayer(self.window) for _ in range(layers)])
        if slots:
            slots.layers = self.layers

    def prefill(self, first: int) -> None:
        """Prepare for a forward pass over prompts from number `first` on."""
        self.window.first = first
        if self.window.slots:
            self.window.slots.new_pass()

    def decode(self) -> None:
        """End prefilling: from now on each forward pass adds one column. The shared layout ends here if the attention
        of some layer cannot join its parts."""
        w = self.window
        if w.slots and not w.slots.start():
            w.slots = None
            for layer in self.layers:
                layer.copy_prompts()
        w.prefill = False

    def make_room(self) -> None:
        """Grow by half of all columns (at least 64) if the next column does not fit."""
        w = self.window
        if w.new < w.room:
            return
        w.room += max(64, (w.width + w.room) // 2)
        filled = w.start + w.new
        for layer in self.layers:
            for name in ("keys", "values"):
                old = getattr(layer, name)
                new = _buffer(old, w.rows, w.start + w.room)
                new[:, :, :filled] = old[: w.rows, :, :filled]
                setattr(layer, name, new)

    def advance(self) -> None:
        """Count the column that the forward pass has filled."""
        self.window.new += 1

    def move(self, sources: Tensor, targets: Tensor, rows: int) -> None:
        """Copy rows `sources` to rows `targets` and keep only the first `rows` rows."""
        w = self.window
        if len(sources):
            for layer in self.layers:
                for buffer in (layer.keys, layer.values):
                    used = buffer[:, :, : w.start + w.new]
                    used.index_copy_(0, targets, used.index_select(0, sources))
        w.rows = rows
        kept = w.slots.move(sources, targets, rows) if w.slots else None
        if kept is not None:
            for layer in self.layers:
                keys, values = layer.prompts
                layer.prompts = keys[kept], values[kept]
