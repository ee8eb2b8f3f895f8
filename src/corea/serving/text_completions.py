"""POST /v1/completions, the older form that evaluation harnesses speak: each prompt is a question of its own.

The prompts of a request are answered by the chat endpoint, at the same time, and put together. Stop sequences cut the
answer that stands; the cascade decides on the whole answer, so that its thresholds hold.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from corea.serving.chat_endpoint import ChatEndpoint
from corea.serving.chat_replies import error_body
from corea.serving.chat_requests import MOST_CHOICES, BadRequest, read_json
from corea.serving.http_reply import HungUp, Message, Receive, Reply, Send, hang_up, read_body

OWN_FIELDS = frozenset(("prompt", "stop", "echo", "logprobs", "best_of", "suffix"))
"""Fields that chat completions do not have, or that are looked at here."""
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


class TextEndpoint:
    """Answers text completions through the chat endpoint."""

    def __init__(self, chat: ChatEndpoint):
        self.chat = chat

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        service = self.chat.service
        reply = Reply(send, uuid.uuid4().hex, service.file.sha256)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            if self.chat.access.holder(headers.get("authorization")) is None:
                raise BadRequest("an API key is needed: Authorization: Bearer KEY", code="invalid_api_key", status=401)
            async with asyncio.timeout(service.options.deadline_s):
                body = read_json(await read_body(receive, service.options.max_body_bytes))
            prompts, stops = read_prompts(body)
        except BadRequest as refusal:
            refused = error_body(refusal.status, refusal.message, code=refusal.code, param=refusal.param)
            await reply.whole(refusal.status, refused)
            return
        except TimeoutError:
            await reply.whole(408, error_body(408, "the body did not arrive in time", code="timeout"))
            return
        except HungUp:
            return
        gone = asyncio.Event()
        listen = asyncio.create_task(_notice(receive, gone))
        try:
            answers = await asyncio.gather(*(self._ask(scope, _chat_body(body, prompt), gone) for prompt in prompts))
        finally:
            listen.cancel()
        if gone.is_set():
            return
        failed = next(((status, answer) for status, answer in answers if status != 200), None)
        if failed is not None:
            await reply.whole(*failed)
            return
        await reply.whole(200, completion_of([answer for _, answer in answers], stops))

    async def _ask(
        self, scope: Mapping[str, Any], body: Mapping[str, Any], gone: asyncio.Event
    ) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of the chat endpoint's reply."""
        given: list[Message] = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if given:
                return given.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.chat(scope, receive, send)
        if not sent:  # the client hung up
            return 499, {}
        return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


async def _notice(receive: Receive, gone: asyncio.Event) -> None:
    await hang_up(receive)
    gone.set()


def read_prompts(body: Any) -> tuple[list[str], list[str]]:
    """(prompts, stop sequences) of a request.

    Raises:
        BadRequest: token ids, log-likelihoods, or other fields that a cascade cannot serve.
    """
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    given = body.get("prompt")
    prompts = [given] if isinstance(given, str) else given
    if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
        raise BadRequest(
            "prompt must be a text or a list of texts; token ids mean nothing to a cascade of models with different "
            "tokenizers (lm_eval: tokenizer_backend=None,tokenized_requests=False)",
            param="prompt",
        )
    if len(prompts) > MOST_CHOICES:
        raise BadRequest(f"prompt has {len(prompts)} texts; allowed are {MOST_CHOICES}", param="prompt")
    if body.get("echo") or body.get("logprobs") is not None:
        name = "echo" if body.get("echo") else "logprobs"
        raise BadRequest(
            f"{name}: a cascade answers in text and has no log-likelihoods; use tasks that generate (generate_until)",
            param=name,
            code="unsupported_parameter",
        )
    for name, neutral in (("stream", False), ("best_of", 1), ("suffix", "")):
        if body.get(name) not in (None, neutral):
            message = f"{name} is not supported here; /v1/chat/completions streams"
            raise BadRequest(message, param=name, code="unsupported_parameter")
    stop = body.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(s, str) for s in stops):
        raise BadRequest("stop must be a text or a list of texts", param="stop")
    return prompts, [s for s in stops if s]


def _chat_body(body: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """The request of one prompt for the chat endpoint."""
    rest = {name: value for name, value in body.items() if name not in OWN_FIELDS}
    return {**rest, "messages": [{"role": "user", "content": prompt}]}


def completion_of(replies: Sequence[Mapping[str, Any]], stops: Sequence[str]) -> dict[str, Any]:
    """One text completion from the replies of the chat endpoint, in the order of the prompts."""
    choices: list[dict[str, Any]] = []
    for reply in replies:
        for choice in reply["choices"]:
            text, cut = cut_at(choice["message"]["content"] or "", stops)
            ending = "stop" if cut else choice["finish_reason"]
            choices.append({"index": len(choices), "text": text, "logprobs": None, "finish_reason": ending})
    usages = [reply["usage"] for reply in replies]
    known = [usage for usage in usages if usage is not None]
    usage = {name: sum(u[name] for u in known) for name in COUNTS} if len(known) == len(usages) else None
    first = replies[0]
    return {
        "id": first["id"].replace("chatcmpl-", "cmpl-", 1),
        "object": "text_completion",
        "created": first["created"],
        "model": first["model"],
        "choices": choices,
        "usage": usage,
        "corea": first["corea"] if len(replies) == 1 else [reply["corea"] for reply in replies],
    }


def cut_at(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """(the text before the first stop sequence, whether there was one)."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return (text[: min(places)], True) if places else (text, False)
