"""Build Completions from token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from corea.engines.loading import template_prefix
from corea.types import Completion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def build_completion(
    tokenizer: PreTrainedTokenizerBase,
    prompt: list[int],
    ids: list[int],
    logprobs: list[float],
    *,
    stopped: bool,
    **more: Any,
) -> Completion:
    """Completion of the sampled tokens.

    Args:
        prompt: token ids of the prompt.
        ids: [T] including the end-of-sequence token if `stopped`.
        logprobs: [T]
        more: further fields of the Completion.
    """
    assert len(ids) == len(logprobs), "one log-probability per token is required"
    return Completion(
        text=template_prefix(tokenizer, prompt) + tokenizer.decode(ids[:-1] if stopped else ids),
        finish_reason="stop" if stopped else "length",
        prompt_tokens=len(prompt),
        completion_tokens=len(ids),
        prompt_ids=prompt,
        token_ids=ids,
        logprobs=logprobs,
        **more,
    )


def prompt_too_long(prompt: list[int], context: int, model_name: str) -> Completion:
    """Error completion for a prompt that fills the model's whole context."""
    return Completion(
        text="",
        finish_reason="error",
        prompt_tokens=len(prompt),
        completion_tokens=0,
        prompt_ids=prompt,
        model=model_name,
        error=f"prompt of {len(prompt)} tokens; the model's context is {context}",
    )
