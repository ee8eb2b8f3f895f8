"""Who may ask corea.serve, how much, what is kept of it; shadows; and what is refused at the start."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import live_helpers as live
import openai
import pytest
from serve_helpers import POINT, StreamServer, echo_tier, running, server_tier

from corea.composition import compose
from corea.config import HFEngineConfig
from corea.errors import UserError
from corea.serving.serve_setup import open_ledger, spent_usd
from corea.serving.server_process import serve


@pytest.fixture(scope="module")
def upstream():
    with StreamServer() as server:
        yield server


def status_of(url: str, key: str | None = None) -> int:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_keys_limits_and_logs(upstream, tmp_path, monkeypatch, caplog):
    (tmp_path / "keys").write_text("# ours\nsk-alice\n\n")
    monkeypatch.setenv("COREA_SERVE_KEYS", "sk-bob, sk-carol")
    caplog.set_level(logging.DEBUG)
    options = [f"serve.keys_file={tmp_path / 'keys'}", "serve.requests_per_minute=3", "serve.tokens_per_minute=900"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options) as server:
        with pytest.raises(openai.AuthenticationError):
            server.ask("7 sure")  # the key "k"
        assert status_of(f"{server.url}/v1/models") == 401
        assert status_of(f"{server.url}/v1/models", "sk-carol") == 200
        assert status_of(f"{server.url}/health/ready") == 200
        alice, bob = (server.client.with_options(api_key=f"sk-{name}") for name in ("alice", "bob"))
        message = [{"role": "user", "content": "4711 unsure"}]
        for _ in range(3):
            assert alice.chat.completions.create(model="corea", messages=message).choices[0].message.content == "4711"
        with pytest.raises(openai.RateLimitError) as error:
            alice.chat.completions.create(model="corea", messages=message)
        assert int(error.value.response.headers["retry-after"]) in range(15, 21)  # three a minute: one every 20 s
        assert bob.chat.completions.create(model="corea", messages=message).corea["tier"] == 1
        left = min(allowance.left for allowance in server.service_access.tokens.values())
        assert 900 - 3 * (23 + 15) <= left < 870  # 15 come back every second
    heard = caplog.text + "".join(map(str, server.records))
    assert not re.search("4711|sk-alice|sk-bob|sk-carol", heard)


def test_text_is_recorded_only_if_allowed(upstream, tmp_path):
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], "serve.log_text=true") as server:
        server.ask("4711 unsure")
        record = server.record()
    assert (record.question, [tier.answer for tier in record.tiers]) == ("4711 unsure", ["4711", "4711"])
    assert record.tiers[0].text == "<think>4711?</think> <answer>4711</answer> <confidence>0.1</confidence>"


class EveryOther:
    """Shadows every second kept question."""

    def __init__(self):
        self.drawn = []

    def draw(self, request_id):
        self.drawn.append(request_id)
        return len(self.drawn) % 2 == 1, 0.5


def test_kept_questions_are_shadowed_after_their_answer(upstream, tmp_path):
    shadow = EveryOther()
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], shadow=shadow) as server:
        before = len(upstream.requests)
        replies = [server.ask(text) for text in ("7 sure", "8 sure", "9 unsure")]
        until = time.monotonic() + 5
        while len(server.records) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        found = {record.request_id: record for record in server.records}
        first, second, third = (found[reply.corea["request_id"]] for reply in replies)
    assert (first.shadow, first.shadow_probability, first.agrees, first.tier) == (True, 0.5, True, 0)
    assert [tier.tier for tier in first.tiers] == [0, 1]
    assert (second.shadow, second.shadow_probability, second.agrees) == (False, 0.5, None)
    assert (third.shadow, third.shadow_probability, third.agrees) == (False, None, True)
    assert shadow.drawn == [replies[0].corea["request_id"], replies[1].corea["request_id"]]
    assert len(upstream.requests) - before == 2


def test_everything_can_be_diverted_to_the_last_tier(upstream, tmp_path):
    divert = lambda service: setattr(service, "diverts", lambda: True)  # noqa: E731
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], prepare=divert) as server:
        corea = server.ask("7 sure").corea
        assert (corea["reason"], corea["tier"], corea["confidence"]) == ("drift", 1, None)


def test_what_is_not_calibrated_goes_to_the_last_tier_as_it_is(upstream, tmp_path):
    bodies = []
    text = lambda question: "<answer>fine</answer>"  # noqa: E731
    monitored = upstream.answer

    def answer(handler, body, fault):
        bodies.append(body)
        monitored(handler, body, fault)

    upstream.answer, upstream.text = answer, text
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], "serve.uncalibrated=llm") as server:
        create = server.client.chat.completions.create
        reply = create(model="corea", messages=talk, temperature=0.7, top_p=0.5, max_tokens=9, tools=[{"type": "x"}])
        assert (reply.choices[0].message.content, reply.corea["tier"]) == ("fine", 1)
        assert (reply.corea["reason"], reply.corea["confidence"]) == ("uncalibrated", None)
        stream = create(model="corea", messages=talk, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream) == "fine"
    upstream.answer = monitored
    first, second = bodies
    assert first["messages"] == second["messages"] == talk
    assert (first["temperature"], first["top_p"], first["max_tokens"]) == (0.7, 0.5, 9)
    assert (first["model"], first["tools"], second["max_tokens"]) == ("model-1", [{"type": "x"}], 20)


def test_a_local_last_tier_takes_turns_but_no_tools(tmp_path):
    with running(tmp_path, [echo_tier(0), echo_tier(1)], "serve.uncalibrated=llm") as server:
        create = server.client.chat.completions.create
        talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "7 sure"}]
        reply = create(model="corea", messages=talk, n=2)
        assert [c.message.content for c in reply.choices] == ["7", "7"]
        with pytest.raises(openai.BadRequestError, match="takes only text"):
            create(model="corea", messages=talk, tools=[{"type": "function", "function": {"name": "f"}}])


def test_a_chain_of_three_tiers(upstream, tmp_path):
    point = {"sums": {"signal": "verbalized", "chain": [0, 1, 2], "thresholds": [0.5, 0.95], "deciders": [0, 1]}}
    tiers = [echo_tier(0), echo_tier(1, expects_confidence=True), server_tier(2, upstream.url)]
    with running(tmp_path, tiers, point=point) as server:
        reply = server.ask("7 unsure")
        assert (reply.corea["tier"], reply.corea["threshold"], list(reply.corea["cost_usd"])) == (
            2,
            0.95,
            ["0", "1", "2"],
        )


def logprobs(text: str) -> dict:
    """Log-probabilities of a text, one token a character; each has probability 1/2."""
    half = -0.6931471805599453
    return {"content": [{"token": c, "logprob": half, "top_logprobs": [{"token": "x", "logprob": -2.0}]} for c in text]}


@pytest.mark.parametrize("given", [True, False])
def test_avg_prob_comes_from_the_log_probabilities_of_a_server(upstream, tmp_path, given, monkeypatch):
    asked = []

    def answer(handler, body, fault):
        asked.append(body)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "<answer>7</answer>"},
            "finish_reason": "stop",
        }
        with_them = given or len(asked) == 1  # the check at the start
        choice |= {"logprobs": logprobs("<answer>7</answer>")} if with_them else {}
        upstream.send(handler, 200, json.dumps({"choices": [choice]}).encode())

    monkeypatch.setattr(upstream, "answer", answer)
    tiers = [server_tier(0, upstream.url, signals=("avg_prob",)), echo_tier(1)]
    point = {"sums": {"signal": "avg_prob", "thresholds": [0.4]}}
    with running(tmp_path, tiers, point=point) as server:
        corea = server.ask("7 sure").corea
        assert (corea["tier"], corea["reason"]) == ((0, "kept") if given else (1, "missing"))
        assert corea["confidence"] == (pytest.approx(0.5) if given else None)
    assert all(body["logprobs"] is True and body["top_logprobs"] == 20 for body in asked)


def refused(folder: Path, *overrides: str, tiers=None, **point) -> str:
    file = live.write_point(folder, tiers or live.tiny_pair(), POINT | point)
    with pytest.raises(UserError) as error:
        serve(compose("serve", f"operating_point={file}", *overrides), folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_served_is_one_line(tmp_path, upstream, monkeypatch):
    monkeypatch.delenv("COREA_SERVE_KEYS", raising=False)
    line = refused(tmp_path, "serve.host=0.0.0.0")
    assert "so keys are needed: give serve.keys_file, or export COREA_SERVE_KEYS" in line
    assert "serve.unbound=true uses them nevertheless" in refused(tmp_path, "tiers.0.temperature=1")
    assert "cannot be had live" in refused(tmp_path, sums={"signal": "probe", "thresholds": [0.5]})
    assert "tier 0 has no price" in refused(
        tmp_path, "budget_usd=1", tiers=[echo_tier(0, price=live.PriceConfig()), echo_tier(1)]
    )
    monkeypatch.setattr(upstream, "text", lambda question: "7")
    tiers = [server_tier(0, upstream.url, signals=("expected",)), echo_tier(1)]
    line = refused(tmp_path, "serve.port=0", tiers=tiers, sums={"signal": "expected", "thresholds": [0.5]})
    assert f"the signal expected cannot be had live: the answers of {upstream.url} hold no log-probabilities" in line


def test_workers_share_the_budget(tmp_path):
    one = open_ledger(tmp_path, 1.0, 1, 0)
    one.settle(one.reserve(0.3), 0.25)
    one.reserve(0.15)
    one.close()
    assert spent_usd(tmp_path / "spending.jsonl") == pytest.approx(0.4)
    first, second = (open_ledger(tmp_path, 1.0, 2, worker) for worker in (0, 1))
    assert (first.budget, second.budget) == (pytest.approx(0.3), pytest.approx(0.3))
    with pytest.raises(UserError, match="another process is spending"):
        open_ledger(tmp_path, 1.0, 2, 0)
    for ledger in (first, second):
        ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_serves_the_tiny_pair_drains_on_sigterm_and_keeps_its_budget(tmp_path, upstream, workers):
    """A process of its own, with two real models of which one is behind a server; SIGKILL, then SIGTERM."""
    small = live.tier(0, "package:tiny_slm", HFEngineConfig())
    point = live.write_point(
        tmp_path, [small, server_tier(1, upstream.url)], {"sums": {"signal": "verbalized", "thresholds": [1.01]}}
    )
    command = [sys.executable, "-m", "corea.serve", f"operating_point={point}", f"hydra.run.dir={tmp_path / 'run'}"]
    command += ["serve.port=0", "budget_usd=0.02", f"serve.workers={workers}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start() -> tuple[subprocess.Popen, openai.OpenAI]:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("serving on "):
                break
        url = line.removeprefix("serving on ").strip()
        return process, openai.OpenAI(base_url=url, api_key="k", max_retries=3, timeout=60)

    def ask(client):
        return client.chat.completions.create(model="corea", messages=[{"role": "user", "content": "3 + 4"}])

    process, client = start()
    replies = [ask(client) for _ in range(3)]
    assert {reply.corea["tier"] for reply in replies} == {1}
    process.kill()
    process.wait()
    if workers > 1:
        return  # the workers of a killed parent go on until they are stopped
    process, client = start()
    found = []
    with pytest.raises(openai.RateLimitError, match="budget_usd is reached"):
        while True:
            found.append(ask(client))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    spent = spent_usd(tmp_path / "run" / "spending.jsonl")
    assert spent <= 0.02
    assert spent == pytest.approx((len(found) + 3) * 4e-4)
    assert len(found) > 30
