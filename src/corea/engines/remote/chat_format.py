"""OpenAI chat format: request bodies, and responses -> Completions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from corea.config.engine_schema import OpenAIEngineConfig
from corea.engines.remote.attempts import Failure
from corea.engines.remote.usage import usage_of
from corea.types import Completion, Message, Sampling

PER_MESSAGE = 16
"""Upper bound of the template tokens around one message."""
PER_PROMPT = 256
"""Upper bound of the tokens that templates and servers add to a conversation."""
NO_RETRIES: Mapping[str, int] = {}
ENDS = {"stop": "stop", "eos": "stop", "end_turn": "stop", "length": "length", "max_tokens": "length"}


def request_body(
    cfg: OpenAIEngineConfig, model: str, messages: Sequence[Message], sampling: Sampling, sample: int
) -> dict[str, Any]:
    """Body of the request for one completion. `cfg.extra` overrides fields; null removes them."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [dict(m) for m in messages],
        "temperature": sampling.temperature,
        cfg.token_limit: sampling.max_tokens,
    }
    if cfg.send_seed:
        digest = hashlib.sha256(f"{sampling.seed}/{sample}".encode()).digest()
        body["seed"] = int.from_bytes(digest[:4], "little") >> 1  # 31 bits, which every server accepts
    return {k: v for k, v in {**body, **cfg.extra}.items() if v is not None}


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """Upper bound of the prompt tokens: one per byte, plus those of the chat template."""
    return PER_PROMPT + sum(PER_MESSAGE + len(m["content"].encode()) for m in messages)


def require_answer(response: Any) -> dict[str, Any]:
    """Return a response that is a chat completion.

    Raises:
        Failure: it is none.
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
    """Completion of a response that passed `require_answer`. Without usage its tokens are unknown."""
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
