"""corea.serve with all that watches it: log, feedback, metrics, shadow, drift, traces, and the figures of its page."""

import json
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

from corea.answers.served_format import read_lines
from corea.config.engine_schema import OwnEngineConfig

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
DISTRIBUTION = {"questions": 100, "missing": 0.2, "quantiles": [i / 100 for i in range(101)]}
DISTRIBUTION |= {"edges": [0.25, 0.5, 0.75], "counts": [20, 20, 20, 20, 20]}
EXPECTED = {
    "deferral_rate": {"value": 0.5, "n": 100},
    "cost_usd": {"value": 3e-4, "n": 100},
    "cost_change": {"value": -0.25, "n": 100},
}
WATCHED = {"sums": {**POINT["sums"], "distribution": {"0": DISTRIBUTION}, "expected": EXPECTED}}
"""Of its questions the last tier alone costs 4e-4 dollars each."""
SLM, LLM = (3 + 2 * 5) / 1e6, (20 * 10 + 10 * 20) / 1e6
"""Dollars of an answer of each tier."""


@pytest.fixture(scope="module")
def upstream():
    with StreamServer() as server:
        yield server


def get(url: str, key: str | None = None, body: dict | None = None) -> tuple[int, str, dict]:
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as reply:
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def samples(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("corea_"))
    return {name: float(value) for name, value in lines}


def test_every_request_is_logged_counted_and_open_to_a_verdict(upstream, tmp_path):
    log = tmp_path / "log"
    options = [f"serve.log_folder={log}", "budget_usd=1"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options, point=WATCHED) as server:
        kept, low = server.ask("7 sure"), server.ask("8 unsure")
        server.record(1)
        (tail,) = log.glob("tail-*.jsonl")
        rows = read_lines(tail)
        assert [(r["request_id"], r["tier"], r["question"]) for r in rows] == [
            (kept.corea["request_id"], 0, None),
            (low.corea["request_id"], 1, None),
        ]
        body = {"request_id": low.corea["request_id"], "correct": False}
        assert get(f"{server.url}/v1/feedback", body=body)[0] == 200
        assert get(f"{server.url}/v1/feedback", body=body | {"request_id": "unknown"})[0] == 404
        found = samples(get(f"{server.url}/metrics")[1])
        health = json.loads(get(f"{server.url}/health")[1])
        status = json.loads(get(f"{server.url}/v1/corea/status")[1])
    assert (health["drift"]["alarm"], health["log_lost"]) == (False, 0)
    assert health["drift"]["tests"]["sums"]["deferral"]["questions"] == 2
    assert found['corea_requests_total{status="2xx"}'] == 2
    assert found['corea_reasons_total{reason="low"}'] == 1
    assert found['corea_queue_depth{tier="0"}'] == 0
    assert found["corea_budget_left_usd"] == pytest.approx(1 - LLM)
    assert found["corea_saved_usd"] == pytest.approx(LLM - SLM - SLM)
    assert (status["compared"], status["deferred"], status["deferral_rate"]) == (2, 1, 0.5)
    assert (status["expected_deferral"], status["points"]["corea"]["thresholds"]) == (0.5, [0.5])
    assert [(t["model"], t["ready"], t["waiting"]) for t in status["tiers"]] == [
        ("model0", True, 0),
        ("model1", True, 0),
    ]
    assert status["saved_usd"] == pytest.approx(LLM - 2 * SLM)
    assert status["cost_usd"] == pytest.approx({"0": 2 * SLM, "1": LLM})
    assert status["confidence"]["served"] == [0.5, 0, 0, 0, 0, 0, 0, 0, 0.5, 0, 0]  # 0.1 and 0.9 end their bins
    assert status["confidence"]["calibration"] == pytest.approx([*[0.08] * 10, 0.2], abs=0.011)
    assert sum(status["confidence"]["calibration"]) == pytest.approx(1, abs=1e-3)
    assert len(list(log.glob("part-*.parquet"))) == 1  # closed with the server


def test_a_shadowed_question_delays_nobody(upstream, tmp_path, monkeypatch):
    options = [f"serve.log_folder={tmp_path / 'log'}", "serve.shadow_share=1", "serve.shadow_per_minute=2"]
    monkeypatch.setattr(upstream, "fault", lambda key, attempt: time.sleep(1))
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options, point=WATCHED) as server:
        started = time.monotonic()
        assert [server.ask(f"{i} sure").corea["tier"] for i in range(3)] == [0, 0, 0]
        assert time.monotonic() - started < 0.8
        server.record()
        assert [(r.shadow, r.shadow_probability) for r in server.records] == [(False, 0.0)]  # the bound is reached
        server.record(2)
    assert [(r.shadow, r.agrees) for r in server.records[1:]] == [(True, True)] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_the_trace_of_a_request_reaches_the_upstream(upstream, tmp_path, stream):
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)]) as server:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "a=b"}
        reply = server.ask("7 unsure", extra_headers=headers, stream=stream)
        if stream:
            list(reply)
        seen = upstream.headers[-1]
        server.ask("8 unsure")
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", seen["traceparent"])
    assert seen["tracestate"] == "a=b"
    assert TRACE not in upstream.headers[-1].get("traceparent", "")


def test_after_a_drift_alarm_everything_goes_to_the_last_tier_and_says_why(upstream, tmp_path):
    (tmp_path / "log").mkdir()
    alarm = tmp_path / "log" / "drift_alarm.json"
    alarm.write_text('{"reason": "sums: deferral rate", "time_s": 1}')
    options = [f"serve.log_folder={tmp_path / 'log'}", "serve.on_drift=llm"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options, point=WATCHED) as server:
        corea = server.ask("7 sure").corea
        assert (corea["tier"], corea["reason"], corea["confidence"]) == (1, "drift", None)
        assert json.loads(get(f"{server.url}/health")[1])["drift"]["reason"] == "sums: deferral rate"
        assert samples(get(f"{server.url}/metrics")[1])["corea_drift_alarm"] == 1
        alarm.unlink()
        until = time.monotonic() + 5
        while server.ask("7 sure").corea["reason"] != "kept" and time.monotonic() < until:
            time.sleep(0.2)
        assert server.ask("7 sure").corea["reason"] == "kept"


def test_figures_need_a_key_where_requests_do_and_the_page_holds_none(upstream, tmp_path):
    (tmp_path / "keys").write_text("sk-one\n")
    options = [f"serve.keys_file={tmp_path / 'keys'}", f"serve.log_folder={tmp_path / 'log'}"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options) as server:
        for path in ("/metrics", "/v1/corea/status"):
            assert get(server.url + path)[0] == 401
            assert get(server.url + path, "sk-one")[0] == 200
        verdict = {"request_id": "r", "correct": True}
        assert get(f"{server.url}/v1/feedback", body=verdict)[0] == 401
        assert get(f"{server.url}/v1/feedback", "sk-one", verdict)[0] == 404
        assert get(f"{server.url}/v1/chat/completions", body={})[0] == 401
        assert samples(get(f"{server.url}/metrics", "sk-one")[1])['corea_requests_total{status="4xx"}'] == 1
        status, page, headers = get(f"{server.url}/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in headers["content-security-policy"]
    assert not re.search(r"https?://(?!www\.w3\.org/)|src=|@import|url\(|style=|\son\w+=", page)


def test_a_hung_local_engine_is_not_ready(upstream, tmp_path):
    options = ["serve.deadline_s=0.2", "serve.ready_s=0.01"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options) as server:
        assert get(f"{server.url}/health/ready")[0] == 200
        assert server.ask("7 sure slow 1.5 ").corea["reason"] == "slm_error"
        time.sleep(0.2)
        started = time.monotonic()
        status, text, _ = get(f"{server.url}/health/ready")
        assert (status, time.monotonic() - started < 1) == (503, True)
        assert "has worked on one batch" in json.loads(text)["tiers"]["0"]["error"]
        time.sleep(1.5)
        assert get(f"{server.url}/health/ready")[0] == 200


@pytest.mark.slow
def test_a_served_log_is_evaluated(upstream, tmp_path, monkeypatch):
    monkeypatch.setattr(
        upstream, "text", lambda q: f"<answer>{'0' if int(q.split()[0]) % 10 == 7 else q.split()[0]}</answer>"
    )
    options = [f"serve.log_folder={tmp_path / 'log'}", "serve.shadow_share=0.5", "serve.shadow_per_minute=null"]
    with running(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], *options, point=WATCHED) as server:
        for number in range(400):
            server.ask(f"{number} {'unsure' if number % 3 == 0 else 'sure'}")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "corea.evaluate",
            f"answers={tmp_path / 'log'}",
            "cascade=max_drop",
            "cascade.delta=0.3",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert f"running point {server.service.file.sha256[:12]}, verbalized, threshold 0.5" in done.stdout
    assert (tmp_path / "log" / "evaluation" / "operating_point.json").exists()


@pytest.mark.slow
def test_two_workers_answer_with_the_figures_of_both(upstream, tmp_path):
    point = live.write_point(tmp_path, [echo_tier(0), server_tier(1, upstream.url)], WATCHED)
    command = [sys.executable, "-m", "corea.serve", f"operating_point={point}", f"hydra.run.dir={tmp_path / 'run'}"]
    command += ["serve.port=0", "serve.workers=2", f"serve.log_folder={tmp_path / 'log'}", "budget_usd=1"]
    here = Path(__file__).parent
    sources = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": sources}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        url = next(line for line in process.stdout if line.startswith("serving on ")).split()[-1].removesuffix("/v1")
        until = time.monotonic() + 60
        while len(list((tmp_path / "log").glob("tail-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.2)
        for number in range(40):  # a client of its own each, so that both workers take some
            with openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=3, timeout=60) as client:
                message = [{"role": "user", "content": f"{number} {'sure' if number % 4 else 'unsure'}"}]
                client.chat.completions.create(model="corea", messages=message)
        time.sleep(1.5)
        pages = [samples(get(f"{url}/metrics")[1]) for _ in range(6)]
        status = json.loads(get(f"{url}/v1/corea/status")[1])
        tails = [len(read_lines(tail)) for tail in (tmp_path / "log").glob("tail-*.jsonl")]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert sum(tails) == 40
    assert min(tails) > 0
    assert {page['corea_requests_total{status="2xx"}'] for page in pages} == {40}
    assert {page["corea_deferrals_total"] for page in pages} == {10}
    assert {round(page["corea_budget_left_usd"], 9) for page in pages} == {round(1 - 10 * LLM, 9)}
    assert (status["compared"], status["deferred"], status["workers"]) == (40, 10, 2)
    assert status["saved_usd"] == pytest.approx(30 * LLM - 40 * SLM)
    assert len(list((tmp_path / "log").glob("part-*.parquet"))) == 2


@pytest.mark.slow
def test_workers_that_cannot_start_end_the_server_with_one_line(upstream, tmp_path):
    engine = OwnEngineConfig(_target_="nowhere.Engine")
    point = live.write_point(tmp_path, [live.tier(0, "m", engine), server_tier(1, upstream.url)], WATCHED)
    command = [sys.executable, "-m", "corea.serve", f"operating_point={point}", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run([*command, "serve.port=0", "serve.workers=2"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("corea.serve: engine._target_=nowhere.Engine: ")
    assert "nowhere cannot be imported" in line
