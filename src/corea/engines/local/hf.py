"""HFEngine: corea's own decode loop on a transformers model (see corea.engines.local.decode)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from corea.engines.completions import build_completion, prompt_too_long
from corea.engines.loading import encode_prompt, eos_ids, load_model, require_attention
from corea.engines.local.attention import grouped
from corea.engines.local.capture import Record, Recorder
from corea.engines.local.cuda_graphs import decode_static
from corea.engines.local.decode import Decoded, DecodeOptions, decode, full_attention
from corea.engines.local.token_sampling import noise_keys, uniforms
from corea.errors import UserError
from corea.types import Completion, Message, Progress, Prompts, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TAIL = 32
"""Number of last tokens whose distribution is recorded; the confidence is at the end of a completion."""


class HFEngine:
    """Engine on a local transformers model (see corea.types.Engine).

    Sampling uses temperature only. The answer to a prompt does not depend on the other prompts of the call, except
    for the rounding of sums (about 1e-6 in a log-probability).
    """

    max_logprob_gap: float | None = None
    """No limit: engine and trainer share the same weights."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        template: Mapping[str, Any] | None = None,
        batch_rows: int = 256,
        device: str | None = None,
        graphs: bool = False,
    ):
        """Load `model` (hub id, local folder or "package:NAME"); see HFEngineConfig for the other arguments."""
        loaded, tokenizer = load_model(model, revision=revision, dtype=dtype, device=device)
        self._set(loaded, tokenizer, batch_rows, model, template, graphs)

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_rows: int = 256,
        model_name: str = "",
        template: Mapping[str, Any] | None = None,
        graphs: bool = False,
        **_: Any,
    ) -> HFEngine:
        """Engine on the trained module itself: weights need no synchronisation."""
        engine = cls.__new__(cls)
        engine._set(model, tokenizer, batch_rows, model_name or getattr(model, "name_or_path", ""), template, graphs)
        return engine

    def _set(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_rows: int,
        model_name: str,
        template: Mapping[str, Any] | None,
        graphs: bool,
    ) -> None:
        require_attention(model, model_name)
        if graphs and not full_attention(model.config.get_text_config()):
            raise UserError(f"engine.graphs=true: {model_name} has layers with a sliding window; allowed is false")
        self.graphs = graphs
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.batch_rows = batch_rows
        self.model_name = model_name
        self.stop_ids = eos_ids(model, tokenizer)
        self.piece = lru_cache(maxsize=200_000)(lambda token: tokenizer.decode([token]))
        self.context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31

    def close(self) -> None:
        """Release the model."""
        self.model = None

    def sync(self, weights: Iterable) -> None:
        """Nothing to do: the engine shares the trainer's weights."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation; see `encode_prompt`."""
        return encode_prompt(self.tokenizer, messages, self.model_name, self.template)

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times; `progress` is called with the number of prompts of each batch.

        A prompt that fills the model's context gets completions with finish_reason "error".
        """
        encoded = [self.encode(p) for p in prompts]
        keys = noise_keys(encoded, sampling.seed)
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        fitting = [i for i in order if len(encoded[i]) < self.context]
        answers: list[list[Completion]] = [[] for _ in encoded]
        for i in order[len(fitting) :]:
            answers[i] = [prompt_too_long(encoded[i], self.context, self.model_name) for _ in range(sampling.n)]
        per_batch = max(1, self.batch_rows // sampling.n)
        training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(fitting), per_batch):
                chosen = fitting[start : start + per_batch]
                rows = self._decode([encoded[i] for i in chosen], [keys[i] for i in chosen], sampling)
                for number, i in enumerate(chosen):
                    group = rows[number * sampling.n : (number + 1) * sampling.n]
                    answers[i] = [self._completion(encoded[i], row, copy) for copy, row in enumerate(group)]
                if progress is not None:
                    progress(len(chosen))
        finally:
            self.model.train(training)
        return answers

    def _decode(self, prompts: list[list[int]], keys: list[bytes], sampling: Sampling) -> list[Decoded]:
        limits = [min(sampling.max_tokens, self.context - len(p)) for p in prompts]
        noise = uniforms(keys, sampling.n, max(limits)) if sampling.temperature else None
        rows = len(prompts) * sampling.n
        recorder = (
            Recorder(self.model, sampling.record, rows=rows, room=max(limits), copies=sampling.n)
            if sampling.record
            else nullcontext()
        )
        options = DecodeOptions(
            copies=sampling.n,
            limits=limits,
            stop_ids=sorted(self.stop_ids),
            temperature=sampling.temperature,
            noise=noise,
            pad=self.tokenizer.pad_token_id or 0,
        )
        with grouped(self.model), recorder as recording:
            if self.graphs and recording is None:
                return decode_static(self.model, prompts, options)
            return decode(self.model, prompts, options, recording)

    def _completion(self, prompt: list[int], row: Decoded, copy: int) -> Completion:
        return build_completion(
            self.tokenizer,
            prompt,
            row.token_ids,
            row.logprobs,
            stopped=row.stopped,
            cached_tokens=len(prompt) if copy else 0,  # the prompt is computed once for all of its completions
            latency_s=row.seconds,
            model=self.model_name,
            extra=self._extra(row.token_ids, row.record) if row.record is not None else {},
        )

    def _extra(self, token_ids: list[int], record: Record) -> dict[str, Any]:
        """A record in the format that Sampling.record describes."""
        extra: dict[str, Any] = {}
        if record.ids is not None and record.logprobs is not None and record.chosen is not None:
            last = range(max(0, len(token_ids) - TAIL), len(token_ids))
            chosen, ids, others = record.chosen.exp().tolist(), record.ids.tolist(), record.logprobs.exp().tolist()
            extra["tail"] = [
                [
                    self.piece(token_ids[t]),
                    chosen[t],
                    [[self.piece(i), p] for i, p in zip(ids[t], others[t], strict=True) if i != token_ids[t]],
                ]
                for t in last
            ]
        if record.state is not None:
            extra["state"] = base64.b64encode(record.state.half().numpy().tobytes()).decode()
        return extra
