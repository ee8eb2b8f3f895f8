"""The decode loop with a cache of fixed size, so that a CUDA GPU can replay one captured step.

A step of a small model is dozens of short kernels, and starting them takes a GPU longer than running them; a replayed
graph starts them all at once. In return no row leaves the batch before the last has ended, and every step attends to
all columns there will be. The capture itself was never run on a GPU; on a CPU the same steps run without it, which the
tests compare with the ordinary loop. `engine.graphs=true` asks for it.

Legend: P prompts, G completions a prompt, B = P x G rows, C columns, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from corea.engines.local.decode import Decoded, Decoder
from corea.engines.local.token_sampling import sample_token


class StaticLayer(CacheLayerMixin):
    """Keys and values of one layer in buffers [B, H, C, D] that never move; `column` [1] says where to write."""

    is_sliding = False

    def __init__(self, keys: Tensor, values: Tensor, column: Tensor):
        super().__init__()
        self.keys, self.values, self.column = keys, values, column
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the prompts have been written."""

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Write [B, H, 1, D]; all columns, of which the mask hides those that are not filled."""
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
    """One step on tensors that stay where they are: put tokens in with `__call__`, logits [B, V] come out."""

    def __init__(self, decoder: Decoder, room: int, last: int):
        """Take over the prompts that `decoder` has prefilled; `room` new columns, positions up to `last`."""
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

    def _layer(self, layer, room: int, width: int) -> StaticLayer:
        buffers = []
        for old in (layer.keys, layer.values):
            new = old.new_zeros(*old.shape[:2], width + room, old.shape[3])  # zeros: a weight of 0 x nan is nan
            new[:, :, :width] = old[:, :, :width]
            buffers.append(new)
        return StaticLayer(*buffers, self.column)

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
        self.positions.clamp_(max=self.last)  # rows that ended go on, and must not leave the model's context

    def _capture(self):
        """A graph of `_forward`; what the rehearsals have written is written over by the first real step."""
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
        with torch.cuda.graph(graph):  # records and does not run
            self._forward()
        return graph

    def __call__(self, token: Tensor) -> Tensor:
        """Append token [B] to every row; logits of the next one, [B, V], valid until the next call."""
        self.token.copy_(token)
        if self.graph is None:
            self._forward()
        else:
            self.graph.replay()
        assert self.logits is not None
        return self.logits


@torch.no_grad()
def decode_static(
    model,
    prompts: Sequence[Sequence[int]],
    *,
    copies: int,
    limits: Sequence[int],
    stop_ids: Sequence[int],
    temperature: float,
    noise: Tensor | None,
    pad: int,
) -> list[Decoded]:
    """As corea.engines.local.decode.decode, for models with full attention in every layer and without a recorder."""
    started = time.perf_counter()
    room, rows = max(limits), len(prompts) * copies
    decoder = Decoder(model, prompts, copies, pad=pad, room=room)
    limit = torch.tensor(limits).repeat_interleave(copies)  # [B]
    lengths = torch.tensor([len(p) for p in prompts]).repeat_interleave(copies)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.long)
    tokens, logprobs = torch.zeros((rows, room), dtype=torch.long), torch.zeros((rows, room))
    running = torch.ones(rows, dtype=torch.bool)
    results = [Decoded() for _ in range(rows)]
    logits = decoder.prefill()
    step = StaticStep(decoder, room, last=int((lengths + limit).max()) - 1)
    for number in range(room):
        token, logprob = sample_token(
            logits, temperature, None if noise is None else noise[:, number].to(logits.device)
        )
        tokens[:, number], logprobs[:, number] = token.cpu(), logprob.cpu()
        stopped = torch.isin(tokens[:, number], stops)
        ended = running & (stopped | (limit <= number + 1))
        for row in ended.nonzero()[:, 0].tolist():
            results[row] = Decoded(
                token_ids=tokens[row, : number + 1].tolist(),
                logprobs=logprobs[row, : number + 1].tolist(),
                stopped=bool(stopped[row]),
                seconds=time.perf_counter() - started,
            )
        running &= ~ended
        if not running.any():
            break
        logits = step(token)
    return results
