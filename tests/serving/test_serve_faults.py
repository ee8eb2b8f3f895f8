"""What goes wrong behind corea.serve: every request ends in one well-formed response, and the books are right."""

import json
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_helpers import NEW_TOKENS, PROMPT_TOKENS, StreamServer, echo_tier, running, server_tier

from corea.serving.tag_filter import TAGS, visible_text
from fault_server import NOT_BILLED

CALL = (20 * 10 + 10 * 20) / 1e6
SLM = (PROMPT_TOKENS + 2 * NEW_TOKENS) / 1e6
FAULTS = ("429", "429_after", "500", "hang", "cut", "not_json", "html", "no_choices", "drip", "400")
DEADLINE_S = 4.0


def scheduled(server: StreamServer):
    """The fault of an attempt is named in the question: "7 unsure faults:500,ok"."""

    def fault(key: str, attempt: int) -> str | None:
        names = server.texts[key].partition("faults:")[2].split(",")
        name = names[attempt - 1] if attempt <= len(names) else ""
        return None if name in ("", "ok") else name

    return fault


@pytest.fixture(scope="module")
def upstream():
    with StreamServer(retry_after="0.01") as server:
        server.fault = scheduled(server)
        yield server


@pytest.fixture(scope="module")
def server(upstream, tmp_path_factory):
    tiers = [echo_tier(0), server_tier(1, upstream.url, timeout_s=0.3, max_wait_s=0.05)]
    options = [f"serve.deadline_s={DEADLINE_S}", "serve.tries=2", "serve.ping_s=0.1", "budget_usd=100"]
    with running(tmp_path_factory.mktemp("faults"), tiers, *options) as one:
        yield one


def raw(server, text: str, stream: bool) -> tuple[int, str, dict]:
    """(status, body, headers) as they come."""
    body = json.dumps({"model": "corea", "messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/chat/completions", body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def well_formed(status: int, body: str, stream: bool) -> bool:
    """Check the shape of a response; returns whether it is an answer."""
    if status != 200 or not stream:
        found = json.loads(body)
        assert ("choices" in found) == (status == 200) != ("error" in found)
        return status == 200
    *events, rest = body.split("\n\n")
    assert rest == ""
    data = [event.removeprefix("data: ") for event in events if not event.startswith(":")]
    failed = any("error" in json.loads(one) for one in data if one != "[DONE]")
    assert (data[-1] == "[DONE]") != failed
    assert data.count("[DONE]") == (not failed)
    return not failed


def books_are_right(server, upstream, before: float, requests: int) -> None:
    """All reservations are settled, and what was billed was charged."""
    ledger, made = server.service.ledger, upstream.requests[requests:]
    assert (ledger.open, ledger.held, ledger.lost) == ({}, 0.0, {})
    billed = sum(fault not in NOT_BILLED for _, _, fault in made)
    most = 20 * 20e-6 + (256 + 200) * 10e-6
    assert billed * CALL - 1e-9 <= ledger.spent - before <= billed * most + 1e-9


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*FAULTS, "ok", "ok"]), min_size=1, max_size=2), st.booleans())
def test_every_schedule_of_faults_ends_in_one_response(server, upstream, faults, stream):
    spent, requests, started = server.service.ledger.spent, len(upstream.requests), time.monotonic()
    status, body, _ = raw(server, f"7 unsure {time.monotonic()} faults:{','.join(faults)}", stream)
    assert time.monotonic() - started < DEADLINE_S + 1
    answered = well_formed(status, body, stream)
    assert status in (200, 502, 503, 504)
    tried = faults[: faults.index("400") + 1] if "400" in faults else faults  # is not tried again
    good = "ok" in ([*tried, "ok"])[:2] and not (tried[-1] == "400" and "ok" not in tried)
    assert answered == good
    assert 1 <= len(upstream.requests) - requests <= 2
    books_are_right(server, upstream, spent, requests)


@pytest.mark.parametrize("fault", StreamServer.STREAMED)
def test_a_stream_that_breaks_after_its_first_byte_ends_in_an_error_event(server, upstream, fault, monkeypatch):
    monkeypatch.setattr(upstream, "text", lambda question: "<answer>a long answer of the large model</answer>")
    spent, requests = server.service.ledger.spent, len(upstream.requests)
    status, body, _ = raw(server, f"7 unsure {fault} faults:{fault},ok", True)
    assert status == 200
    assert "a long" in "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in body.split("\n\n")
        if '"delta"' in line
    )
    assert not well_formed(status, body, True)
    assert len(upstream.requests) == requests + 1
    books_are_right(server, upstream, spent, requests)
    with pytest.raises(openai.APIError):
        server.events(f"8 unsure {fault} faults:{fault},ok")


TEXTS = st.lists(
    st.sampled_from([*TAGS, "<", "the ", "answer", "LARGE", "\n", "é", "<confid", "ence>"]), min_size=1, max_size=9
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, st.integers(1, 9))
def test_no_byte_of_a_rejected_answer_and_no_tag_is_streamed(server, upstream, pieces, step):
    text = "<answer>LARGE</answer>" + "".join(pieces)
    upstream.text, upstream.step = lambda question: text, step
    try:
        status, body, _ = raw(server, "SECRET unsure", True)
    finally:
        upstream.text, upstream.step = StreamServer().text, 4
    assert well_formed(status, body, True)
    assert "SECRET" not in body
    data = [json.loads(event[6:]) for event in body.split("\n\n") if event.startswith("data: {")]
    shown = "".join(c["delta"].get("content", "") for d in data for c in d["choices"])
    assert shown == visible_text(text)
    assert not any(tag in shown for tag in TAGS)


def test_retry_after_of_the_upstream_reaches_the_client(server, upstream, monkeypatch):
    monkeypatch.setattr(upstream, "retry_after", "7")
    status, body, headers = raw(server, "7 unsure faults:429_after,ok", False)
    assert (status, headers["retry-after"], well_formed(status, body, False)) == (503, "7", False)


def test_a_message_of_the_upstream_reaches_no_client_and_no_record(server):
    status, body, _ = raw(server, "7 unsure faults:400", False)
    assert (status, "as asked" in body) == (502, False)
    assert "HTTP 400" in json.loads(body)["error"]["message"]
    assert "as asked" not in str(server.record())


def test_pings_come_while_the_small_model_thinks(server):
    status, body, _ = raw(server, "7 sure slow 0.35 ", True)
    assert well_formed(status, body, True)
    assert body.startswith(": ping\n\n")
    assert body.index('"7"') > body.rindex(": ping")


def hang_up(server, text: str, stream: bool, after_bytes: bool) -> float:
    """Ask, close the connection, and return the seconds until the service has stopped."""
    body = json.dumps({"model": "corea", "messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        if after_bytes:
            while b"delta" not in connection.recv(65536):
                pass
        else:
            time.sleep(0.1)
        assert server.service.under_way == 1
    started = time.monotonic()
    while server.service.under_way and time.monotonic() - started < 5:
        time.sleep(0.01)
    time.sleep(0.05)
    return time.monotonic() - started


def test_a_client_that_hangs_up_stops_its_calls_and_they_are_charged(server, upstream):
    spent, requests = server.service.ledger.spent, len(upstream.requests)
    assert hang_up(server, "7 unsure faults:hang", stream=False, after_bytes=False) < 1
    books_are_right(server, upstream, spent, requests)
    record = server.record()
    assert (record.http_status, record.tier, record.tiers[-1].error) == (499, None, "the client hung up")
    spent, requests, closed = server.service.ledger.spent, len(upstream.requests), upstream.closed_early
    upstream.text, upstream.pause = (lambda question: "word " * 400), 0.02
    try:
        assert hang_up(server, "8 unsure", stream=True, after_bytes=True) < 1
        until = time.monotonic() + 1
        while upstream.closed_early == closed and time.monotonic() < until:
            time.sleep(0.01)
        assert upstream.closed_early == closed + 1
    finally:
        upstream.text, upstream.pause = StreamServer().text, 0.0
    books_are_right(server, upstream, spent, requests)


def test_small_model_that_is_slow_escalates_and_a_silent_large_one_ends_at_the_deadline(upstream, tmp_path):
    tiers = [echo_tier(0), server_tier(1, upstream.url, timeout_s=60)]
    options = ["serve.deadline_s=0.8", "serve.slm_timeout_s=0.2"]
    with running(tmp_path, tiers, *options) as server:
        reply = server.ask("7 sure slow 0.4 ")
        assert (reply.corea["tier"], reply.corea["reason"]) == (1, "slm_error")
        time.sleep(0.3)
        started = time.monotonic()
        status, body, _ = raw(server, "9 unsure faults:hang", False)
        assert (status, json.loads(body)["error"]["code"]) == (504, "deadline")
        assert time.monotonic() - started < 1.8


def test_the_small_models_answer_can_stand_in_for_a_failure_and_for_a_spent_budget(upstream, tmp_path):
    tiers = [echo_tier(0), server_tier(1, upstream.url, timeout_s=0.3)]
    options = ["serve.on_llm_failure=slm", "serve.on_budget=slm", "serve.tries=1", "budget_usd=0.008"]
    with running(tmp_path, tiers, *options) as server:
        reply = server.ask("7 unsure faults:500")
        assert reply.choices[0].message.content == "7"
        assert (reply.corea["tier"], reply.corea["fallback"], reply.corea["reason"]) == (0, True, "low")
        assert server.streamed("7 unsure faults:500") == "7"
        reasons = [server.ask(f"{i} unsure").corea["reason"] for i in range(16)]
        assert reasons.index("budget") == reasons.count("low") > 5
        assert set(reasons[reasons.index("budget") :]) == {"budget"}
        assert server.service.ledger.spent <= 0.008


def test_a_full_queue_and_a_spent_budget_are_429(upstream, tmp_path):
    tiers = [echo_tier(0), server_tier(1, upstream.url)]
    with running(tmp_path, tiers, "serve.queue_size=1", "serve.batch_size=1", "budget_usd=0") as server:
        with ThreadPoolExecutor(4) as pool:
            first = pool.submit(raw, server, "0 sure slow 0.9 ", False)
            time.sleep(0.2)  # it has left the queue: one of the others waits, two find it full
            found = [*pool.map(lambda i: raw(server, f"{i} sure slow 0.3 ", False), range(1, 4)), first.result()]
        full = [(body, headers) for status, body, headers in found if status == 429]
        assert len(full) == 2
        assert all(json.loads(body)["error"]["code"] == "queue_full" for body, _ in full)
        assert all(int(headers["retry-after"]) >= 1 for _, headers in full)
        with pytest.raises(openai.RateLimitError, match="budget_usd is reached"):
            server.ask("7 unsure")
        assert server.ask("7 sure").corea["reason"] == "kept"


def test_concurrent_requests_share_batches_and_one_bad_prompt_harms_no_other(tmp_path, upstream):
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)]) as server:
        engine = server.service.tiers[0].engine
        with ThreadPoolExecutor(9) as pool:
            first = pool.submit(server.ask, "0 sure slow 0.3 ")
            time.sleep(0.1)
            others = [pool.submit(server.ask, f"{i} sure" + (" raises" if i == 3 else "")) for i in range(1, 8)]
            found = [one.result() for one in [first, *others]]
        assert [f.choices[0].message.content for f in found] == [str(i) for i in range(8)]
        assert [f.corea["tier"] for f in found] == [0, 0, 0, 1, 0, 0, 0, 0]
        assert [len(batch) for batch in engine.batches] == [1, 7, *[1] * 7]


def test_a_dead_tier_is_not_ready(tmp_path):
    with (
        StreamServer() as upstream,
        running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], "serve.ready_s=0.01") as server,
    ):
        assert urllib.request.urlopen(f"{server.url}/health/ready").status == 200
        upstream.fault = lambda key, attempt: "500"
        time.sleep(0.05)
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{server.url}/health/ready")
        tiers = json.loads(error.value.read())["tiers"]
        assert (error.value.code, tiers["0"]["ready"], tiers["1"]["ready"]) == (503, True, False)
        assert "HTTP 500" in tiers["1"]["error"]


@pytest.mark.slow
def test_two_hundred_concurrent_requests_hold_the_budget(tmp_path, upstream):
    tiers = [echo_tier(0), server_tier(1, upstream.url)]
    with running(tmp_path, tiers, "budget_usd=0.05") as server:
        requests = len(upstream.requests)

        def ask(i: int) -> bool:
            status, body, _ = raw(server, f"{i} unsure", i % 2 == 0)
            assert status in (200, 429)
            return well_formed(status, body, i % 2 == 0)

        with ThreadPoolExecutor(200) as pool:
            answered = sum(pool.map(ask, range(200)))
        made = len(upstream.requests) - requests
        assert answered == made
        assert 0.05 - 0.0035 < server.service.ledger.spent <= 0.05
        assert server.service.ledger.spent == pytest.approx(made * CALL)
