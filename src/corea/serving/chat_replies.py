"""Responses of OpenAI's chat completions: the answer of a cascade, its provenance, chunks of a stream, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from corea.serving.journey import Journey
from corea.serving.tag_filter import visible_text

KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
"""Status -> type of the error; 500 and above: api_error, others: invalid_request_error."""
ENDINGS = {"length": "length", "error": "stop"}
"""finish_reason of a completion -> that of a choice; others: stop."""
MOST_OF_A_HEADER = 200
FIELDS = ("tier", "model", "confidence", "threshold", "reason", "cost_usd", "operating_point", "request_id")
HEADERS = {name: f"x-corea-{name.replace('_', '-')}".encode() for name in (*FIELDS, "unbound", "fallback")}
"""Field of the provenance -> its header."""
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def error_body(
    status: int, message: str, *, code: str | None = None, param: str | None = None, corea: Mapping | None = None
) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    body: dict[str, Any] = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return body | ({"corea": dict(corea)} if corea else {})


def provenance(journey: Journey, operating_point: str, unbound: bool) -> dict[str, Any]:
    """The field `corea` of a response."""
    route, result, decided = journey.route, journey.result, journey.decided
    found: dict[str, Any] = {
        "tier": None if result is None else result.tier,
        "model": None if result is None else result.model,
        "confidence": None if decided is None else route.confidences[decided],
        "threshold": None if decided is None else route.point.thresholds[decided],
        "reason": route.reason.value,
        "cost_usd": journey.costs(),
        "operating_point": operating_point,
        "request_id": journey.request.request_id,
    }
    return found | ({"unbound": True} if unbound else {}) | ({"fallback": True} if journey.fallback else {})


def provenance_headers(corea: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The headers x-corea-*; a field that is null has none, and the cost is that of all tiers."""
    values = {name: value for name, value in corea.items() if value is not None}
    costs = list(values.pop("cost_usd").values())
    if None not in costs:
        values["cost_usd"] = f"{math.fsum(costs):.9f}"
    return [(HEADERS[name], header_value(value)) for name, value in values.items()]


def header(name: str, value: Any) -> tuple[bytes, bytes]:
    """A header with a value of printable ASCII characters."""
    return name.encode(), header_value(value)


def header_value(value: Any) -> bytes:
    """The value of a header: printable ASCII characters."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text[:MOST_OF_A_HEADER]
    if not (text.isascii() and text.isprintable()):
        text = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return text.encode()


def completion_body(journey: Journey, corea: Mapping[str, Any]) -> dict[str, Any]:
    """The response to a request without streaming."""
    return {
        "id": f"chatcmpl-{journey.request.request_id}",
        "object": "chat.completion",
        "created": int(journey.time_s),
        "model": journey.request.model,
        "choices": choices(journey),
        "usage": usage(journey),
        "corea": dict(corea),
    }


def choices(journey: Journey) -> list[dict[str, Any]]:
    """The choices of the answer that stands, without tags unless the client asked for them."""
    tags = journey.request.tags
    if journey.choices is not None and not journey.fallback:
        return [_passed_on(index, choice, tags) for index, choice in enumerate(journey.choices)]
    samples = journey.completions[journey.route.position]
    shown = samples if journey.request.uncalibrated else samples[:1]
    return [
        {
            "index": index,
            "message": {"role": "assistant", "content": visible_text(c.text, tags), "refusal": None},
            "logprobs": None,
            "finish_reason": ENDINGS.get(c.finish_reason, "stop"),
        }
        for index, c in enumerate(shown)
    ]


def _passed_on(index: int, choice: Mapping[str, Any], tags: bool) -> dict[str, Any]:
    """A choice of a server that answered the client's own request."""
    given = choice.get("message")
    message: dict[str, Any] = given if isinstance(given, dict) else {}
    content = message.get("content")
    shown = {k: message[k] for k in ("tool_calls", "function_call") if message.get(k)}
    text = visible_text(content, tags) if isinstance(content, str) and content else content
    return {
        "index": index,
        "message": {"role": "assistant", "content": text, "refusal": message.get("refusal"), **shown},
        "logprobs": choice.get("logprobs"),
        "finish_reason": choice.get("finish_reason") or "stop",
    }


def usage(journey: Journey) -> dict[str, Any] | None:
    """Tokens of all tiers, failed attempts included; None: an answer was not counted."""
    counts = journey.tokens()
    if counts is None:
        return None
    return {
        "prompt_tokens": counts["prompt_tokens"],
        "completion_tokens": counts["completion_tokens"],
        "total_tokens": counts["prompt_tokens"] + counts["completion_tokens"],
        "prompt_tokens_details": {"cached_tokens": counts["cached_tokens"]},
    }


def chunk(journey: Journey, changes: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
    """One event of a stream; `changes` are its choices."""
    body = {
        "id": f"chatcmpl-{journey.request.request_id}",
        "object": "chat.completion.chunk",
        "created": int(journey.time_s),
        "model": journey.request.model,
        "choices": list(changes),
        **more,
    }
    return event(body)


def change(index: int, delta: Mapping[str, Any], ending: str | None = None) -> dict[str, Any]:
    """A choice of a chunk."""
    return {"index": index, "delta": dict(delta), "logprobs": None, "finish_reason": ending}


def last_chunks(journey: Journey, corea: Mapping[str, Any]) -> list[bytes]:
    """The end of a stream: why each choice ended, the provenance, and usage if the client asked for it."""
    ends = [change(c["index"], {}, c["finish_reason"]) for c in choices(journey)]
    if not journey.request.include_usage:
        return [chunk(journey, ends, corea=dict(corea)), DONE]
    return [chunk(journey, ends, usage=None), chunk(journey, [], usage=usage(journey), corea=dict(corea)), DONE]


def event(body: Mapping[str, Any]) -> bytes:
    """A server-sent event."""
    return b"data: " + json_bytes(body) + b"\n\n"


def json_bytes(body: Mapping[str, Any]) -> bytes:
    """JSON as short as it can be."""
    return ENCODER.encode(body).encode()


DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
