"""The decode loop: completes prompts with any transformers decoder whose layers are attention.

Each prompt is prefilled once. On a CPU its G completions share its cache (shared_prompts.py); elsewhere it is copied to
them. Prompts of similar length are prefilled together, so that little computation is spent on padding. Finished rows
leave the batch.

Legend: P prompts, G completions per prompt, B = P x G rows at the start, R unfinished rows, V vocabulary.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from corea.engines.local.capture import Record, Recorder
from corea.engines.local.kv_cache import SlotCache
from corea.engines.local.shared_prompts import CURRENT, Slots, can_share
from corea.engines.local.token_sampling import sample_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PIECE_TOKENS = 8192
"""Maximum number of prompt tokens, including padding, of one forward pass."""
FIRST_ROOM = 64
"""New tokens that the cache holds before it first grows."""


@dataclass(slots=True, kw_only=True)
class Decoded:
    """One finished row."""

    token_ids: list[int] = field(default_factory=list)
    """[T] including end-of-sequence."""
    logprobs: list[float] = field(default_factory=list)
    """[T]"""
    stopped: bool = False
    """True: ended by an end-of-sequence token; False: by its token limit."""
    seconds: float = 0.0
    """Seconds from the start of the batch to the last token."""
    record: Record | None = None
    """Set by decode(recorder=...)."""


@dataclass(slots=True, kw_only=True)
class DecodeOptions:
    """How to complete a batch of prompts."""

    copies: int
    """Completions of each prompt."""
    limits: Sequence[int]
    """[P] maximum number of new tokens of each prompt's completions."""
    stop_ids: Sequence[int]
    """End-of-sequence tokens."""
    temperature: float
    noise: Tensor | None
    """[B, max(limits)] uniform random numbers; None at temperature 0."""
    pad: int
    """Id of the padding token."""


def finished_row(tokens: Tensor, logprobs: Tensor, length: int, stopped: bool, seconds: float) -> Decoded:
    """The first `length` tokens of a row, with their log-probabilities."""
    return Decoded(
        token_ids=tokens[:length].tolist(), logprobs=logprobs[:length].tolist(), stopped=stopped, seconds=seconds
    )


def pieces(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split prompts sorted by length into ranges [start, end) with little padding and at most PIECE_TOKENS tokens.

    A range ends where padding would exceed an eighth of it, unless it has fewer than 256 tokens: then one more pass
    over the weights costs more than the padding.
    """
    start, real = 0, 0
    for end, length in enumerate(lengths):
        padded = (end - start + 1) * length
        wasteful = padded - real - length > padded / 8 and real >= 256
        if end > start and (wasteful or padded > PIECE_TOKENS):
            yield start, end
            start, real = end, 0
        real += length
    yield start, len(lengths)


def full_attention(config: Any) -> bool:
    """True if no layer of a text model has a sliding window."""
    kinds = getattr(config, "layer_types", None)
    return set(kinds) == {"full_attention"} if kinds else getattr(config, "sliding_window", None) is None


class Decoder:
    """The state of one batch."""

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        copies: int,
        *,
        pad: int,
        room: int,
        share: bool = True,
    ):
        """
        Args:
            prompts: token ids, sorted by length.
            pad: any token id; padding is masked.
            room: maximum number of new tokens of a row.
            share: hold each prompt once for all of its completions, where that is possible.
        """
        self.model = model
        self.prompts = prompts
        self.copies = copies
        self.pad = pad
        self.device = next(model.parameters()).device
        lengths = [len(p) for p in prompts]
        text = model.config.get_text_config()
        self.width = lengths[-1]
        self.full_attention = full_attention(text)
        share = share and copies > 1 and self.full_attention and can_share(model, self.device)
        self.cache = SlotCache(
            text.num_hidden_layers,
            prompts=len(prompts),
            copies=copies,
            shortest=lengths[0],
            width=self.width,
            room=min(room, FIRST_ROOM),
            slots=Slots(lengths, copies, model.dtype) if share else None,
        )
        rows = torch.tensor(lengths, device=self.device).repeat_interleave(copies)  # [B]
        self.positions = rows  # [R] position of the next token
        self.visible: Tensor | None = None  # [R, width + room], if prompts differ in length
        if lengths[0] != self.width:
            columns = torch.arange(self.width + room, device=self.device)
            self.visible = columns >= (self.width - rows)[:, None]

    def prefill(self) -> Tensor:
        """Logits of the first new token, [B, V]."""
        logits = []
        for start, end in pieces([len(p) for p in self.prompts]):
            part = self.prompts[start:end]
            width = len(part[-1])
            ids = torch.tensor([[self.pad] * (width - len(p)) + list(p) for p in part], device=self.device)
            pads = torch.tensor([width - len(p) for p in part], device=self.device)
            columns = torch.arange(width, device=self.device)
            self.cache.prefill(start)
            output = self._forward(
                input_ids=ids,
                attention_mask=(columns >= pads[:, None]).long() if len(part[0]) != width else None,
                position_ids=(columns - pads[:, None]).clamp(min=0),
            )
            logits.append(output.logits[:, -1])
        self.cache.decode()
        return torch.cat(logits).repeat_interleave(self.copies, 0)

    def _forward(self, **inputs: Tensor | None) -> Any:
        before = CURRENT.set(self.cache.window.slots)
        try:
            return self.model(**inputs, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        finally:
            CURRENT.reset(before)

    def step(self, token: Tensor) -> Tensor:
        """Append token [R] to every row; logits of the next one, [R, V]."""
        self.cache.make_room()
        mask = self.visible
        if mask is not None:
            mask = mask[:, : self.width + self.cache.window.new + 1]
            # If all layers use full attention, the model need not derive a mask for each layer.
            mask = mask[:, None, None] if self.full_attention else mask
        output = self._forward(input_ids=token[:, None], attention_mask=mask, position_ids=self.positions[:, None])
        self.cache.advance()
        self.positions = self.positions + 1
        return output.logits[:, -1]

    def keep(self, running: Tensor) -> Tensor:
        """Drop the rows where `running` [R] is False; rows from the end move into their places.

        Returns:
            [R after] former index of the row in each place.
        """
        left = int(running.sum())
        order = torch.arange(left)
        targets = (~running[:left]).nonzero()[:, 0]
        sources = running[left:].nonzero()[:, 0] + left
        order[targets] = sources
        self.cache.move(sources.to(self.device), targets.to(self.device), left)
        places = order.to(self.device)
        self.positions = self.positions[places]
        if self.visible is not None:
            self.visible = self.visible[places]
        return order


@torch.no_grad()
def decode(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], options: DecodeOptions, recorder: Recorder | None = None
) -> list[Decoded]:
    """Complete each prompt `options.copies` times.

    Args:
        prompts: token ids, sorted by length.
        recorder: records further data; changes no token.

    Returns:
        [B] rows; those of one prompt are adjacent.
    """
    started = time.perf_counter()
    room, noise = max(options.limits), options.noise
    decoder = Decoder(model, prompts, options.copies, pad=options.pad, room=room)
    device = decoder.device
    rows = len(prompts) * options.copies
    tokens = torch.zeros((rows, room), dtype=torch.long)
    logprobs = torch.zeros((rows, room))
    limit = torch.tensor(options.limits).repeat_interleave(options.copies)  # [B]
    stops = torch.tensor(sorted(options.stop_ids))
    alive = torch.arange(rows)  # [R] number of the row in each place of the batch
    results = [Decoded() for _ in range(rows)]

    logits = decoder.prefill()
    for step in range(room):
        numbers = None if noise is None else noise[alive, step].to(device)
        token, logprob = sample_token(logits, options.temperature, numbers)
        on_cpu = token.cpu()
        tokens[alive, step] = on_cpu
        logprobs[alive, step] = logprob.cpu()
        stopped = torch.isin(on_cpu, stops)
        ended = stopped | (limit[alive] <= step + 1)
        if recorder is not None:
            recorder.record_step(alive, step, logits, token)
        if ended.any():
            seconds = time.perf_counter() - started
            places = ended.nonzero()[:, 0].tolist()
            for place, row, hit in zip(places, alive[ended].tolist(), stopped[ended].tolist(), strict=True):
                results[row] = finished_row(tokens[row], logprobs[row], step + 1, hit, seconds)
                if recorder is not None:
                    results[row].record = recorder.row_record(place, row, step + 1)
            if ended.all():
                break
            order = decoder.keep(~ended)
            alive = alive[order]
            token = token[order.to(device)]
        logits = decoder.step(token)
    return results
