"""What a decode loop keeps beside the tokens where a caller asks for it: token distributions and hidden states.

A loop without a Recorder does nothing of this. Legend: R rows left, V vocabulary, K alternatives, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from corea.types import DISTRIBUTIONS, STATES

TOP = 32
"""K. Confidences in steps of 0.05 are 21 tokens where each is one of its own."""


@dataclass(slots=True, kw_only=True)
class Record:
    """What was kept of one row of T tokens."""

    chosen: Tensor | None = None
    """[T] log-probability of each token at temperature 1."""
    ids: Tensor | None = None
    """[T, K] the most probable tokens at each step."""
    logprobs: Tensor | None = None
    """[T, K] theirs, at temperature 1."""
    state: Tensor | None = None
    """[D] what the output layer saw when it gave the last token: the model has read all but that token."""


class Recorder:
    """Keeps what `wanted` names for the rows of one batch. Use it as a context manager: it listens to the model."""

    def __init__(self, model, wanted: tuple[str, ...], *, rows: int, room: int, copies: int):
        """`rows` completions of at most `room` tokens; `copies` of them share each prompt."""
        self.copies = copies
        self.seen: list[Tensor] = []
        self.state: Tensor | None = None
        self.ids: Tensor | None = None
        if DISTRIBUTIONS in wanted:
            size = min(TOP, model.config.get_text_config().vocab_size)
            self.ids = torch.zeros((rows, room, size), dtype=torch.int32)
            self.logprobs = torch.zeros((rows, room, size))
            self.chosen = torch.zeros((rows, room))
        self.output = model.get_output_embeddings() if STATES in wanted else None
        self.hook = None

    def __enter__(self) -> Recorder:
        if self.output is not None:
            self.hook = self.output.register_forward_pre_hook(lambda _, inputs: self.seen.append(inputs[0][:, -1]))
        return self

    def __exit__(self, *_: object) -> None:
        if self.hook is not None:
            self.hook.remove()

    def note(self, alive: Tensor, step: int, logits: Tensor, token: Tensor) -> None:
        """Step `step` chose `token` [R] from `logits` [R, V] for the rows `alive` [R]."""
        if self.seen:
            state = torch.cat(self.seen)
            self.seen.clear()
            self.state = state if len(state) == len(alive) else state.repeat_interleave(self.copies, 0)
        if self.ids is not None:
            scores = torch.log_softmax(logits.float(), -1)
            values, ids = scores.topk(self.ids.shape[-1], -1)
            self.ids[alive, step] = ids.int().cpu()
            self.logprobs[alive, step] = values.cpu()
            self.chosen[alive, step] = scores.gather(-1, token[:, None])[:, 0].cpu()

    def of(self, place: int, row: int, length: int) -> Record:
        """What was kept of a row that ends now with `length` tokens and stands in `place` of the batch."""
        record = Record()
        if self.output is not None and self.state is not None:
            record.state = self.state[place].float().cpu()
        if self.ids is not None:
            record.ids, record.logprobs = self.ids[row, :length], self.logprobs[row, :length]
            record.chosen = self.chosen[row, :length]
        return record
