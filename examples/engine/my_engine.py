"""An engine of your own: the `generate` method of transformers, one prompt at a time.

`from_model`, `sync` and `max_logprob_gap` are what training needs (corea.engines.TrainingEngine); an engine that only
answers needs `__init__`, `generate` and `close` (corea.types.Engine).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from corea.engines.loading import encode_prompt, eos_ids, load_model
from corea.types import Completion, Progress, Prompts, Sampling


class GenerateEngine:
    """Engine on a transformers model."""

    max_logprob_gap: float | None = 1e-3
    """Stop the run if log-probabilities differ from the trainer's by more than this on average."""

    def __init__(self, model: str, *, revision=None, dtype: str = "auto", template=None, top_k: int = 0):
        """Load `model` for corea.collect. `top_k` is a key of engine.params, here only to show one; 0 is unlimited."""
        self.model, self.tokenizer = load_model(model, revision=revision, dtype=dtype)
        self.model_name, self.template, self.top_k = model, template, top_k

    @classmethod
    def from_model(cls, model, tokenizer, *, path, revision, model_name, template, top_k: int = 0) -> GenerateEngine:
        """Engine on the module that corea.train trains."""
        engine = cls.__new__(cls)
        engine.model, engine.tokenizer = model, tokenizer
        engine.model_name, engine.template, engine.top_k = model_name, template, top_k
        return engine

    def sync(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Nothing to copy: the module is the trainer's own."""

    def close(self) -> None:
        """Release the model."""
        self.model = None

    def generate(self, prompts: Prompts, sampling: Sampling, progress: Progress = None) -> list[list[Completion]]:
        """Answer each prompt `sampling.n` times."""
        torch.manual_seed(sampling.seed)
        answers = []
        for messages in prompts:
            prompt = encode_prompt(self.tokenizer, messages, self.model_name, self.template)
            answers.append(self._answer(prompt, sampling))
            if progress is not None:
                progress(1)
        return answers

    @torch.no_grad()
    def _answer(self, prompt: list[int], sampling: Sampling) -> list[Completion]:
        stops = sorted(eos_ids(self.model, self.tokenizer))
        ids = torch.tensor([prompt] * sampling.n, device=self.model.device)
        choice: dict[str, Any] = {"do_sample": False}
        if sampling.temperature:
            choice = {"do_sample": True, "temperature": sampling.temperature, "top_k": self.top_k, "top_p": 1.0}
        output = self.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=sampling.max_tokens,
            eos_token_id=stops,
            pad_token_id=self.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_scores=True,
            **choice,
        )
        new = output.sequences[:, len(prompt) :]  # [n, T]
        scores = torch.stack(output.scores, 1).float().log_softmax(-1)  # [n, T, V] of the distribution sampled from
        logprobs = scores.gather(-1, new[..., None])[..., 0]
        rows = zip(new.tolist(), logprobs.tolist(), strict=True)
        return [self._completion(prompt, tokens, scored, stops) for tokens, scored in rows]

    def _completion(self, prompt: list[int], ids: list[int], logprobs: list[float], stops: list[int]) -> Completion:
        end = next((k for k, token in enumerate(ids) if token in stops), None)
        length = len(ids) if end is None else end + 1
        return Completion(
            text=self.tokenizer.decode(ids[:end]),
            finish_reason="length" if end is None else "stop",
            prompt_tokens=len(prompt),
            completion_tokens=length,
            prompt_ids=prompt,
            token_ids=ids[:length],
            logprobs=logprobs[:length],
            model=self.model_name,
        )
