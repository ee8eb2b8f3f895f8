"""Checks requests of OpenAI's chat completions; turns each into a question and says whether a threshold applies."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from corea.cascade.live_point import LivePoint
from corea.collecting.plan import Tier
from corea.config.serve_schema import ServeOptionsConfig
from corea.surrogates import without_surrogates
from corea.tasks.questions import text_hash
from corea.types import Message, Question

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MOST_CHOICES = 128
HARMLESS = frozenset(
    (
        *("model", "messages", "stream", "stream_options"),
        *("user", "metadata", "store", "service_tier", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention", "seed", "corea"),
        *("tool_choice", "parallel_tool_calls", "function_call"),
        *("n", "temperature", "max_tokens", "max_completion_tokens"),
    )
)
"""Fields that change no answer, or that are looked at one by one."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "stop": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
"""Field -> values that change no answer; null changes none anywhere."""
RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}


class BadRequest(Exception):
    """A request that is refused."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_value", status: int = 400):
        super().__init__(message)
        self.message, self.param, self.code, self.status = message, param, code, status


@dataclass(slots=True, kw_only=True)
class ChatRequest:
    """A request that was accepted."""

    request_id: str
    model: str
    """As the client named it."""
    question: Question
    point: LivePoint
    fields: Mapping[str, Any]
    """The request as it was sent."""
    uncalibrated: tuple[str, ...] = ()
    """What the operating point does not hold for; empty: it holds."""
    plain: Sequence[Message] | None = None
    """The messages of an uncalibrated request that any tier can answer; None: only a server can."""
    stream: bool = False
    include_usage: bool = False
    tags: bool = False
    """The client asked for the tags."""

    @property
    def chars(self) -> int:
        """Characters of the messages."""
        return len(self.question.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a request may name: models, and the points and tiers behind them."""

    models: Mapping[str, LivePoint]
    tiers: Mapping[int, Tier]
    options: ServeOptionsConfig


def read_json(body: bytes) -> Any:
    """The JSON value of a body. Raises BadRequest."""
    try:
        return DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply", code="invalid_json") from None
    except ValueError:
        raise BadRequest("the body is not JSON", code="invalid_json") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


DECODER = json.JSONDecoder(parse_constant=_no_constant)


def read_request(
    body: Any, catalogue: Catalogue, request_id: str, tags: bool = False, takes_fields: Callable[[int], bool] = bool
) -> ChatRequest:
    """Check a request.

    Args:
        body: its JSON value.
        tags: the client asked for the tags in a header.
        takes_fields: whether a tier answers requests that hold more than text.

    Raises:
        BadRequest: it is refused; the message names the field.
    """
    _require(isinstance(body, dict), "the body must be a JSON object", None)
    point = _point(body.get("model"), catalogue)
    messages = _messages(body.get("messages"), catalogue.options.max_prompt_chars)
    stream, include_usage = _stream(body)
    _numbers(body)
    chain = [catalogue.tiers[tier] for tier in point.chain]
    found = (*_conversation(messages), *_sampling(body, chain), *_others(body))
    text = "\n".join(filter(None, (_text(m) for m in messages)))
    question = Question(
        id=f"q-{text_hash(text)}",
        dataset=point.dataset,
        source=point.dataset,
        split="",
        text=text,
        gold="",
    )
    request = ChatRequest(
        request_id=request_id,
        model=body["model"],
        question=question,
        point=point,
        fields=without_surrogates(body) if found else body,
        uncalibrated=found,
        stream=stream,
        include_usage=include_usage,
        tags=_tags(body.get("corea")) or tags,
    )
    if found:
        _admit_uncalibrated(request, messages, catalogue, takes_fields(point.chain[-1]))
    else:
        _require(bool(text.strip()), "the message is empty", "messages")
    return request


def _require(ok: bool, message: str, param: str | None, code: str = "invalid_value") -> None:
    if not ok:
        raise BadRequest(message, param=param, code=code)


def _point(model: Any, catalogue: Catalogue) -> LivePoint:
    if isinstance(model, str) and model in catalogue.models:
        return catalogue.models[model]
    _require(isinstance(model, str) and bool(model), "model must be given", "model", "missing_required_parameter")
    known = ", ".join(catalogue.models)
    raise BadRequest(f"there is no such model; there are {known}", param="model", code="model_not_found")


def _messages(given: Any, most_chars: int) -> list[dict[str, Any]]:
    _require(isinstance(given, list) and bool(given), "messages must be a list that is not empty", "messages")
    for number, message in enumerate(given):
        if isinstance(message, dict) and message.get("role") in ROLES and isinstance(message.get("content"), str):
            continue
        where = f"messages[{number}]"
        _require(isinstance(message, dict), f"{where} must be an object", where)
        _require(message.get("role") in ROLES, f"{where}.role must be one of {', '.join(ROLES)}", f"{where}.role")
        content = message.get("content")
        ok = content is None or isinstance(content, str)
        if isinstance(content, list):
            ok = bool(content) and all(isinstance(p, dict) and isinstance(p.get("type"), str) for p in content)
            ok = ok and all(isinstance(p.get("text"), str) for p in content if p["type"] == "text")
        _require(ok, f"{where}.content must be text or a list of parts", f"{where}.content")
        lacking = content is None and message["role"] != "assistant"
        _require(not lacking, f"{where}.content must be given", f"{where}.content")
    size = sum(len(_text(message)) for message in given)
    if size > most_chars:
        too_long = f"the messages have {size} characters; allowed are {most_chars}"
        raise BadRequest(too_long, param="messages", code="context_length_exceeded")
    return given


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return without_surrogates(content or "")


def _stream(body: Mapping[str, Any]) -> tuple[bool, bool]:
    stream, options = body.get("stream"), body.get("stream_options")
    _require(stream is None or isinstance(stream, bool), "stream must be true or false", "stream")
    _require(options is None or isinstance(options, dict), "stream_options must be an object", "stream_options")
    _require(not (options and not stream), "stream_options goes with stream=true", "stream_options")
    usage = (options or {}).get("include_usage")
    known = usage is None or isinstance(usage, bool)
    _require(known, "stream_options.include_usage must be true or false", "stream_options.include_usage")
    return bool(stream), bool(usage)


def _numbers(body: Mapping[str, Any]) -> None:
    for name in ("n", "max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is None:
            continue
        most = MOST_CHOICES if name == "n" else 10**9
        ok = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most
        _require(ok, f"{name} must be a whole number from 1 to {most}", name)
    for name, (low, high) in RANGES.items():
        value = body.get(name)
        if value is None:
            continue
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
        ok = math.isfinite(number) and low <= number <= high
        _require(ok, f"{name} must be a number from {low:g} to {high:g}", name)


def _conversation(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why the messages are more than one question."""
    found = []
    if len(messages) > 1 or messages[0]["role"] != "user":
        found.append("several turns or a system message" if len(messages) > 1 else f"role {messages[0]['role']}")
    parts = [p["type"] for m in messages if isinstance(m.get("content"), list) for p in m["content"]]
    if any(kind != "text" for kind in parts):
        found.append("parts that are not text, such as images")
    return found


def _sampling(body: Mapping[str, Any], chain: Sequence[Tier]) -> list[str]:
    found = []
    if (body.get("n") or 1) > 1:
        found.append("n > 1")
    temperature = body.get("temperature")
    if temperature is not None and any(tier.temperature != temperature for tier in chain):
        found.append("another temperature")
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    if limits and min(limits) < max(tier.max_tokens for tier in chain):
        found.append(f"fewer tokens than {max(tier.max_tokens for tier in chain)}")
    return found


def _others(body: Mapping[str, Any]) -> list[str]:
    """Further fields that may change the answer."""
    given = {name: value for name, value in body.items() if name not in HARMLESS and value is not None}
    named = [name for name, value in given.items() if value not in NEUTRAL.get(name, ())]
    known = [name for name in named if name in NEUTRAL]
    return known + (["further fields"] if len(known) < len(named) else [])  # names are the client's text


def _tags(given: Any) -> bool:
    if given is None:
        return False
    ok = isinstance(given, dict) and given.keys() <= {"tags"} and isinstance(given.get("tags", False), bool)
    _require(ok, 'corea must be an object; allowed is {"tags": true or false}', "corea")
    return given.get("tags", False)


def _admit_uncalibrated(
    request: ChatRequest, messages: Sequence[Mapping[str, Any]], catalogue: Catalogue, takes_fields: bool
) -> None:
    """Refuse a request that nothing was calibrated for, unless the last tier is to answer it and can."""
    reasons = ", ".join(request.uncalibrated)
    if catalogue.options.uncalibrated == "reject":
        raise BadRequest(
            f"the cascade is calibrated for single questions as they were evaluated, not for: {reasons} "
            "(serve.uncalibrated=llm lets the last tier answer)",
            code="uncalibrated",
        )
    if takes_fields:
        return
    turns = ("several turns", "role", "n > 1", "another temperature", "fewer tokens")
    simple = all(reason.startswith(turns) for reason in request.uncalibrated)
    texts = all(m["role"] in ("system", "user", "assistant") and m.keys() <= {"role", "content"} for m in messages)
    if not (simple and texts):
        raise BadRequest(f"the last tier runs in this process and takes only text, not: {reasons}", code="uncalibrated")
    request.plain = [{"role": m["role"], "content": _text(m)} for m in messages]
