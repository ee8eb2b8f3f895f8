"""Chat completions as servers speak them: bodies of requests, and responses to completions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from corea.config.engine_schema import OpenAIEngineConfig
from corea.engines.remote.attempts import Failure
from corea.engines.remote.usage import usage_of
from corea.types import Completion, Message, Sampling

PER_MESSAGE = 16
"""Tokens of a chat template around one message, at most."""
PER_PROMPT = 256
"""Tokens that templates and servers add to a conversation, at most."""
NO_RETRIES: Mapping[str, int] = {}
ENDS = {"stop": "stop", "eos": "stop", "end_turn": "stop", "length": "length", "max_tokens": "length"}


def request_body(
    cfg: OpenAIEngineConfig, model: str, messages: Sequence[Message], sampling: Sampling, sample: int
) -> dict[str, Any]:
    """Body of the call for one sample; `cfg.extra` has the last word, and its nulls leave fields out."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [dict(m) for m in messages],
        "temperature": sampling.temperature,
        cfg.token_limit: sampling.max_tokens,
    }
    if cfg.send_seed:
        digest = hashlib.sha256(f"{sampling.seed}/{sample}".encode()).digest()
        body["seed"] = int.from_bytes(digest[:4], "little") >> 1  # 31 bits, which every server takes
    return {k: v for k, v in {**body, **cfg.extra}.items() if v is not None}


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """No byte-level tokenizer makes more tokens than bytes; templates add a bounded number."""
    return PER_PROMPT + sum(PER_MESSAGE + len(m["content"].encode()) for m in messages)


def require_answer(response: Any) -> dict[str, Any]:
    """The response itself.

    Raises:
        Failure: it is no chat completion.
    """
    try:
        choice = response["choices"][0]
        content = choice["message"].get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Failure(reason="a response without an answer", charged=True, usage=usage_of(response)) from None
    if content is not None and not isinstance(content, str):
        raise Failure(reason="an answer that is not text", charged=True, usage=usage_of(response))
    return response


def completion_of(
    response: dict[str, Any], *, model: str, latency_s: float, retries: Mapping[str, int] = NO_RETRIES
) -> Completion:
    """A response that `require_answer` has passed, as a completion. Without usage its tokens are unknown."""
    choice = response["choices"][0]
    reason = str(choice.get("finish_reason"))
    refused = ENDS.get(reason) is None and choice.get("finish_reason") is not None
    usage = usage_of(response)
    extra: dict[str, Any] = {"server_model": response.get("model") or model, **retries}
    if usage is None:
        extra["tokens"] = "unknown"
    else:
        extra["reasoning_tokens"] = usage[3]
    prompt, cached, completion, _ = usage or (0, 0, 0, 0)
    return Completion(
        text=choice["message"].get("content") or "",
        finish_reason="error" if refused else ENDS.get(reason, "stop"),
        error=f"the server ended the answer with finish_reason={reason}" if refused else "",
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        latency_s=latency_s,
        model=model,
        extra=extra,
    )
