"""corea.serve with a real server, the openai client, an engine in the process and an upstream that streams."""

import asyncio
import json
import urllib.error
import urllib.request

import openai
import pytest
from serve_helpers import StreamServer, echo_tier, running, server_tier

SLM, LLM = (3 + 2 * 5) / 1e6, (20 * 10 + 10 * 20) / 1e6
"""Dollars of an answer of each tier."""


@pytest.fixture(scope="module")
def upstream():
    with StreamServer() as server:
        yield server


@pytest.fixture(scope="module")
def server(upstream, tmp_path_factory):
    with running(tmp_path_factory.mktemp("serve"), [echo_tier(0), server_tier(1, upstream.url)]) as one:
        yield one


def post(url: str, body: bytes, headers: dict | None = None, method: str = "POST"):
    """(status, headers, JSON) of a request."""
    given = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, body, given, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.headers, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


def test_a_sure_answer_is_kept_and_says_so(server, upstream):
    before = len(upstream.requests)
    reply = server.ask("7 sure")
    assert reply.choices[0].message.content == "7"
    assert reply.choices[0].finish_reason == "stop"
    corea = reply.corea
    assert (corea["tier"], corea["model"], corea["confidence"]) == (0, "model0", 0.9)
    assert (corea["threshold"], corea["reason"]) == (0.5, "kept")
    assert corea["cost_usd"] == pytest.approx({"0": SLM})
    assert set(corea) == {
        *("tier", "model", "confidence", "threshold", "reason", "cost_usd", "operating_point", "request_id")
    }
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (3, 5, 8)
    assert len(upstream.requests) == before


def test_an_unsure_answer_goes_to_the_large_model_and_both_are_counted(server):
    reply = server.ask("7 unsure")
    assert reply.choices[0].message.content == "7"
    assert (reply.corea["tier"], reply.corea["model"], reply.corea["reason"]) == (1, "served", "low")
    assert reply.corea["cost_usd"] == pytest.approx({"0": SLM, "1": LLM})
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (23, 15)
    assert reply.usage.prompt_tokens_details.cached_tokens == 5


@pytest.mark.parametrize(
    ("words", "reason"),
    [("silent", "missing"), ("truncated", "truncated"), ("broken", "slm_error"), ("raises", "slm_error")],
)
def test_what_is_no_whole_answer_of_the_small_model_goes_on(server, words, reason):
    reply = server.ask(f"7 sure {words}")
    assert (reply.corea["tier"], reply.corea["reason"]) == (1, reason)


def test_headers_say_the_same(server):
    body = json.dumps({"model": "corea", "messages": [{"role": "user", "content": "7 unsure"}]}).encode()
    status, headers, reply = post(f"{server.url}/v1/chat/completions", body)
    assert status == 200
    corea = reply["corea"]
    assert headers["x-corea-tier"] == "1"
    assert headers["x-corea-reason"] == "low"
    assert headers["x-corea-model"] == "served"
    assert headers["x-corea-confidence"] == "0.1"
    assert headers["x-corea-threshold"] == "0.5"
    assert float(headers["x-corea-cost-usd"]) == pytest.approx(SLM + LLM)
    assert headers["x-corea-operating-point"] == corea["operating_point"] == server.service.file.sha256
    assert headers["x-corea-request-id"] == corea["request_id"]


@pytest.mark.parametrize("question", ["7 sure", "7 unsure"])
def test_a_stream_ends_with_provenance(server, question):
    events = server.events(question)
    assert "".join(e.choices[0].delta.content or "" for e in events) == "7"
    assert events[0].choices[0].delta.role == "assistant"
    assert [e.choices[0].finish_reason for e in events][-1] == "stop"
    assert [hasattr(e, "corea") for e in events] == [False] * (len(events) - 1) + [True]
    assert events[-1].corea["tier"] == (0 if question == "7 sure" else 1)
    assert all(e.usage is None for e in events)


def test_a_stream_counts_all_tiers_if_asked(server):
    *_, end = server.events("7 unsure", stream_options={"include_usage": True})
    assert end.choices == []
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (23, 15)
    assert end.corea["cost_usd"] == pytest.approx({"0": SLM, "1": LLM})


def test_tags_come_only_if_asked_for(server):
    whole = "<think>7?</think> <answer>7</answer> <confidence>0.9</confidence>"
    assert server.ask("7 sure", extra_body={"corea": {"tags": True}}).choices[0].message.content == whole
    assert server.ask("7 sure", extra_headers={"x-corea-tags": "true"}).choices[0].message.content == whole
    assert server.streamed("7 unsure", extra_body={"corea": {"tags": True}}) == "<think>so</think> <answer>7</answer>"


def test_the_async_client_and_its_models(server):
    async def talk():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
            models = [model.id async for model in client.models.list()]
            one = await client.models.retrieve("corea/sums")
            message = [{"role": "user", "content": "7 unsure"}]
            stream = await client.chat.completions.create(model="corea/sums", messages=message, stream=True)
            return models, one.id, "".join([c.choices[0].delta.content or "" async for c in stream])

    assert asyncio.run(talk()) == (["corea", "corea/sums"], "corea/sums", "7")


USER = [{"role": "user", "content": "7 sure"}]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "a" * 200_000}]}, "messages"),
        ({"model": "gpt-9"}, "model"),
        ({"model": None}, "model"),
        ({"n": 5}, None),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 0.7}, None),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, None),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, None),
        ({"messages": [{"role": "system", "content": "a"}, *USER]}, None),
        ({"top_k": 5}, None),
        ({"corea": {"threshold": 0}}, "corea"),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(server, change, param):
    body = json.dumps({"model": "corea", "messages": USER} | change).encode()
    status, headers, reply = post(f"{server.url}/v1/chat/completions", body)
    assert status == 400
    assert set(reply["error"]) == {"message", "type", "param", "code"}
    assert (reply["error"]["type"], reply["error"]["param"]) == ("invalid_request_error", param)
    assert "x-corea-request-id" in headers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b'{"model": NaN}', "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"model": "corea", "messages": "' + b"a" * 10 * 2**20 + b'"}', "larger than"),
    ],
)
def test_bad_bodies_are_refused_and_the_server_lives_on(server, body, words):
    status, _, reply = post(f"{server.url}/v1/chat/completions", body)
    assert (status, words in reply["error"]["message"]) == (400, True)
    assert server.ask("7 sure").choices[0].message.content == "7"


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/v1/nothing", "GET", 404), ("/v1/chat/completions", "GET", 405)]
)
def test_other_addresses_and_methods_have_the_same_shape(server, path, method, status):
    found, _, reply = post(f"{server.url}{path}", None, method=method)
    assert (found, set(reply["error"])) == (status, {"message", "type", "param", "code"})


def test_requests_that_change_nothing_are_calibrated(server):
    parts = [{"type": "text", "text": "7 "}, {"type": "text", "text": "sure"}]
    neutral = {"temperature": 0, "n": 1, "top_p": 1, "seed": 4, "max_tokens": 5000, "user": "u", "logprobs": False}
    message = [{"role": "user", "content": parts}]
    reply = server.client.chat.completions.create(model="corea", messages=message, **neutral)
    assert (reply.corea["tier"], reply.corea["reason"]) == (0, "kept")


def test_the_record_of_a_request(server):
    reply = server.ask("7 unsure")
    record = server.record()
    assert record.request_id == reply.corea["request_id"]
    assert (record.tier, record.reason, record.http_status, record.stream) == (1, "low", 200, False)
    first, second = record.tiers
    assert (first.tier, first.confidence, first.threshold, first.status) == (0, 0.1, 0.5, "ok")
    assert first.signals == {"verbalized": 0.1, "length": 5}
    assert (second.tier, second.model, second.confidence) == (1, "served", None)
    assert (second.prompt_tokens, second.cached_tokens, second.completion_tokens) == (20, 5, 10)
    assert first.cost_usd + second.cost_usd == pytest.approx(SLM + LLM)
    assert 0 < second.latency_s < record.total_s
    assert record.agrees is True
    assert (record.question, first.text, second.answer) == (None, None, None)


def test_health(server):
    for path in ("/health/live", "/health/ready", "/health"):
        with urllib.request.urlopen(f"{server.url}{path}", timeout=10) as reply:
            assert reply.status == 200
