"""OpenAI chat format: request bodies, and responses -> Completions."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from corea.config.engine_schema import OpenAIEngineConfig
from corea.engines.remote.error_text import error_part
from corea.engines.remote.usage import usage_of
from corea.types import Completion, Message, Sampling

PER_MESSAGE = 16
"""Upper bound of the template tokens around one message."""
PER_PROMPT = 256
"""Upper bound of the tokens that templates and servers add to a conversation."""
NO_RETRIES: Mapping[str, int] = {}
CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "max_length", "model_length"})
"""Values of finish_reason for an answer that reached the limit of tokens."""
STOPPED = frozenset({"", "stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed"})
"""Values for an answer that the model ended itself. It may be empty; under any other value an empty one is an error."""
FILTERED = "content_filter"
TAIL = 64
"""Last tokens whose alternatives are kept, for the stated confidence (see Sampling.record)."""
MOST_OF_A_REASON = 80
"""Characters."""
REASONING = ("reasoning", "thinking")
"""Types of the parts of a message that are not its answer."""


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
        body["seed"] = _seed(sampling.seed, sample)
    return {k: v for k, v in {**body, **cfg.extra}.items() if v is not None}


@lru_cache(maxsize=1024)
def _seed(seed: int, sample: int) -> int:
    """The seed of a sample: 31 bits, which every server accepts."""
    digest = hashlib.sha256(f"{seed}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """Upper bound of the prompt tokens: one per byte, plus those of the chat template."""
    return PER_PROMPT + sum(PER_MESSAGE + len(m["content"].encode()) for m in messages)


def holds_answer(response: Any) -> bool:
    """True for a chat completion without an error."""
    return answer_text(response) is not None and error_part(response) is None


def completion_of(
    response: dict[str, Any], *, model: str, latency_s: float, retries: Mapping[str, int] = NO_RETRIES
) -> Completion:
    """Completion of a response that `holds_answer`. Without usage its tokens are unknown.

    An answer is kept whatever its finish_reason; a filtered one, and no text under an unknown reason, are errors.
    """
    text = answer_text(response) or ""
    reason = _ending(response["choices"][0])
    failed = reason == FILTERED or (not text.strip() and reason not in CUT_OFF | STOPPED)
    usage = usage_of(response)
    extra: dict[str, Any] = {"server_model": str(response.get("model") or model), **retries}
    if usage is None:
        extra["tokens"] = "unknown"
    else:
        extra["reasoning_tokens"] = usage[3]
    tokens = token_probabilities(response["choices"][0])
    if tokens is not None:
        extra["tail"] = [[text, math.exp(value), others] for text, value, others in tokens[-TAIL:]]
    prompt, cached, completion, _ = usage or (0, 0, 0, 0)
    return Completion(
        text=text,
        finish_reason="error" if failed else "length" if reason in CUT_OFF else "stop",
        error=f"the server ended the answer with finish_reason={reason}" if failed else "",
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        latency_s=latency_s,
        model=model,
        logprobs=[value for _, value, _ in tokens or ()],
        extra=extra,
    )


def token_probabilities(choice: Mapping[str, Any]) -> list[tuple[str, float, list[list[Any]]]] | None:
    """(text, log-probability, [[other text, its probability], ...]) of each token of a choice; None if not given."""
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list) or not content:
        return None
    try:
        return [
            (
                str(entry["token"]),
                min(0.0, float(entry["logprob"])),
                [
                    [str(other["token"]), math.exp(min(0.0, float(other["logprob"])))]
                    for other in entry.get("top_logprobs") or ()
                    if other["token"] != entry["token"]
                ],
            )
            for entry in content
        ]
    except (KeyError, TypeError, ValueError, AttributeError):  # a server's own form
        return None


def answer_text(response: Any) -> str | None:
    """The text of the first choice; None if there is none, or if it is not text.

    Without content it is what the server took for reasoning (some put the whole answer of a model there that does not
    reason) unless that was cut off, the refusal, or the `text` of a choice without a message.
    """
    choices = response.get("choices") if isinstance(response, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return None
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        return text if message is None and isinstance(text, str) else None
    content = _plain_text(message.get("content"))
    if content is None or content.strip():
        return content
    keys = ("refusal",) if _ending(choice) in CUT_OFF else ("reasoning_content", "reasoning", "refusal")
    others = (_plain_text(message.get(key)) for key in keys)
    return next((text for text in others if text and text.strip()), content)


def _plain_text(content: Any) -> str | None:
    """Content of a message: null, a string, a number or a list of parts; None if it is none of these."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    if not isinstance(content, list) or not all(isinstance(part, str | dict) for part in content):
        return None
    parts = [{"text": part} if isinstance(part, str) else part for part in content]
    texts = [part.get("text", part.get("refusal")) for part in parts if part.get("type") not in REASONING]
    return "".join(text for text in texts if isinstance(text, str))


def _ending(choice: dict[str, Any]) -> str:
    """finish_reason in lower case; "" if there is none."""
    reason = choice.get("finish_reason")
    reason = reason.get("type") if isinstance(reason, dict) else reason
    return "" if reason is None else str(reason).strip().lower()[:MOST_OF_A_REASON]
