"""Records token distributions and hidden states during decoding, if the caller asks for them.

Legend: R unfinished rows, T tokens of a row, V vocabulary, K alternatives, D hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from corea.types import DISTRIBUTIONS, STATES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOP = 32
"""K: enough for the 21 confidences in steps of 0.05, if each is one token."""


@dataclass(slots=True, kw_only=True)
class Record:
    """Recorded data of one row."""

    chosen: Tensor | None = None
    """[T] log-probability of each token at temperature 1."""
    ids: Tensor | None = None
    """[T, K] most probable tokens at each step."""
    logprobs: Tensor | None = None
    """[T, K] their log-probabilities at temperature 1."""
    state: Tensor | None = None
    """[D] input of the output layer when it predicted the last token."""


class Recorder:
    """Context manager that hooks into the model and records what `wanted` names for the rows of one batch."""

    def __init__(self, model: PreTrainedModel, wanted: tuple[str, ...], *, rows: int, room: int, copies: int) -> None:
        """
        Args:
            rows: completions in the batch.
            room: maximum number of tokens of a completion.
            copies: completions per prompt.
        """
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

    def record_step(self, alive: Tensor, step: int, logits: Tensor, token: Tensor) -> None:
        """Record step `step`, which chose `token` [R] from `logits` [R, V] for the rows `alive` [R]."""
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

    def row_record(self, place: int, row: int, length: int) -> Record:
        """Data of row `row`, which ends now with `length` tokens at index `place` of the unfinished rows."""
        record = Record()
        if self.output is not None and self.state is not None:
            record.state = self.state[place].float().cpu()
        if self.ids is not None:
            record.ids, record.logprobs = self.ids[row, :length], self.logprobs[row, :length]
            record.chosen = self.chosen[row, :length]
        return record
