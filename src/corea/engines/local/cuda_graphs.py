"""The decode loop with a cache of fixed size, so that a CUDA GPU can replay one captured step (`engine.graphs=true`).

A step of a small model consists of dozens of short kernels, and launching them takes longer than running them. A
replayed graph launches them all at once. In return, all rows stay in the batch until the last one ends, and every step
attends to all columns of the final cache. On a CPU the same steps run without capture; tests compare them with the
ordinary loop. The capture itself has not been run on a GPU.

Legend: P prompts, G completions per prompt, B = P x G rows, C columns, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from corea.engines.local.decode import Decoded, DecodeOptions, Decoder, finished_row
from corea.engines.local.token_sampling import sample_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class StaticLayer(CacheLayerMixin):
    """Keys and values of one layer in fixed buffers [B, H, C, D]; `column` [1] is the column to write."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, column: Tensor):
        super().__init__()
        self.keys, self.values, self.column = keys, values, column
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the buffers already hold the prompts."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write [B, H, 1, D]; returns all columns, of which the mask hides the unfilled ones."""
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        return 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.keys.shape[2], 0

    def get_max_length(self) -> int:
        return self.keys.shape[2]


class StaticStep:
    """One decode step on tensors at fixed addresses."""

    def __init__(self, decoder: Decoder, room: int, last: int):
        """Copy the cache of a prefilled `decoder` and add `room` columns; positions go up to `last`."""
        self.model, self.last = decoder.model, last
        width, device = decoder.width, decoder.device
        self.column = torch.tensor([width], device=device)
        self.columns = torch.arange(width + room, device=device)
        self.visible = (self.columns >= width - decoder.positions[:, None])[:, None, None]  # [B, 1, 1, C]
        self.positions = decoder.positions.clone()
        self.token = torch.zeros_like(self.positions)
        self.cache = Cache(layers=[self._layer(layer, room, width) for layer in decoder.cache.layers])
        self.logits: Tensor | None = None
        self.graph = self._capture() if device.type == "cuda" else None

    def _layer(self, layer: Any, room: int, width: int) -> StaticLayer:
        def wider(old: Tensor) -> Tensor:
            new = old.new_zeros(*old.shape[:2], width + room, old.shape[3])  # zeros: a weight of 0 x nan is nan
            new[:, :, :width] = old[:, :, :width]
            return new

        return StaticLayer(wider(layer.keys), wider(layer.values), self.column)

    def _forward(self) -> None:
        output = self.model(
            input_ids=self.token[:, None],
            attention_mask=self.visible & (self.columns <= self.column),
            position_ids=self.positions[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.logits = output.logits[:, -1]
        self.column += 1
        self.positions += 1
        self.positions.clamp_(max=self.last)  # finished rows continue and must stay within the model's context

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Capture `_forward` as a graph; the first real step overwrites the values written by the warm-up steps."""
        state = self.column.clone(), self.positions.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                self.column.copy_(state[0])
                self._forward()
        torch.cuda.current_stream().wait_stream(stream)
        self.column.copy_(state[0])
        self.positions.copy_(state[1])
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):  # records without running
            self._forward()
        return graph

    def step(self, token: Tensor) -> Tensor:
        """Append token [B] to every row; returns the logits of the next one, [B, V], valid until the next call."""
        self.token.copy_(token)
        if self.graph is None:
            self._forward()
        else:
            self.graph.replay()
        assert self.logits is not None
        return self.logits


@torch.no_grad()
def decode_static(model: PreTrainedModel, prompts: Sequence[Sequence[int]], options: DecodeOptions) -> list[Decoded]:
    """As corea.engines.local.decode.decode without a recorder, for models with full attention in every layer."""
    started = time.perf_counter()
    copies, noise = options.copies, options.noise
    room, rows = max(options.limits), len(prompts) * copies
    decoder = Decoder(model, prompts, copies, pad=options.pad, room=room, share=False)
    limit = torch.tensor(options.limits).repeat_interleave(copies)  # [B]
    lengths = torch.tensor([len(p) for p in prompts]).repeat_interleave(copies)
    stops = torch.tensor(sorted(options.stop_ids), dtype=torch.long)
    tokens, logprobs = torch.zeros((rows, room), dtype=torch.long), torch.zeros((rows, room))
    running = torch.ones(rows, dtype=torch.bool)
    results = [Decoded() for _ in range(rows)]
    logits = decoder.prefill()
    static = StaticStep(decoder, room, last=int((lengths + limit).max()) - 1)
    for number in range(room):
        numbers = None if noise is None else noise[:, number].to(logits.device)
        token, logprob = sample_token(logits, options.temperature, numbers)
        tokens[:, number], logprobs[:, number] = token.cpu(), logprob.cpu()
        stopped = torch.isin(tokens[:, number], stops)
        ended = running & (stopped | (limit <= number + 1))
        for row in ended.nonzero()[:, 0].tolist():
            seconds = time.perf_counter() - started
            results[row] = finished_row(tokens[row], logprobs[row], number + 1, bool(stopped[row]), seconds)
        running &= ~ended
        if not running.any():
            break
        logits = static.step(token)
    return results
