"""Metrics add up over requests and workers, and no client can add a series."""

import subprocess
import sys

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from served_records import deferred, kept, record, served_tier

from corea.serving.served_metrics import ServedMetrics

WORKERS = """
import os, sys
sys.path[:0] = ["tests/serving"]
from corea.serving.served_metrics import share_between_workers, worker_ended
share_between_workers(sys.argv[1])
from served_records import deferred, kept
from corea.serving.served_metrics import ServedMetrics
for number in range(2):
    if (pid := os.fork()) == 0:
        metrics = ServedMetrics([0, 1])
        metrics.set_queue(1, 3 + number)
        metrics.set_budget(5.0 - number)
        for _ in range(4):
            metrics.observe((deferred if number else kept)("r"))
        os._exit(0)
    os.waitpid(pid, 0)
    print(pid)
print(ServedMetrics([0, 1]).page()[0].decode())
worker_ended(pid)
print("ENDED")
print(ServedMetrics([0, 1]).page()[0].decode())
"""


def samples(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("corea_"))
    return {name: float(value) for name, value in lines}


def page(metrics: ServedMetrics) -> dict[str, float]:
    app = FastAPI()
    app.include_router(metrics.router())
    answer = TestClient(app).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples(answer.text)


def test_requests_of_each_kind_by_hand():
    metrics = ServedMetrics([0, 1], llm_alone=lambda record: 0.03 if record.tier == 0 else None)
    small = {"prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.001, "latency_s": 0.2}
    large = {"prompt_tokens": 20, "cached_tokens": 4, "cost_usd": 0.02, "latency_s": 3.0}
    both = served_tier(0, 0.25, **small), served_tier(1, **large)
    metrics.observe(kept("a", 0.95, tiers=(served_tier(0, 0.95, **small),), total_s=0.2015))
    metrics.observe(deferred("b", 0.25, tiers=both, total_s=3.25))
    metrics.observe(kept("c", 0.9, tiers=both, shadow=True, total_s=0.2))
    metrics.observe(deferred("d", None, reason="missing", tiers=(served_tier(0, None), served_tier(1)), fallback=True))
    metrics.observe(record("e", tier=None, reason="kept", http_status=429))
    metrics.set_queue(1, 7)
    found = page(metrics)
    assert "corea_budget_left_usd" not in found  # there is no budget
    expected = {
        'corea_requests_total{status="2xx"}': 4,
        'corea_requests_total{status="4xx"}': 1,
        "corea_deferrals_total": 2,
        "corea_shadowed_total": 1,
        "corea_fallbacks_total": 1,
        'corea_reasons_total{reason="kept"}': 2,
        'corea_reasons_total{reason="missing"}': 1,
        'corea_answers_total{tier="0"}': 2,
        'corea_answers_total{tier="1"}': 2,
        'corea_confidence_bucket{le="0.3"}': 2,
        "corea_confidence_count": 3,
        "corea_confidence_missing_total": 1,
        'corea_tokens_total{kind="prompt",tier="0"}': 30,
        'corea_tokens_total{kind="cached",tier="1"}': 8,
        'corea_cost_usd_total{tier="1"}': 0.04,
        'corea_tier_seconds_count{tier="0"}': 4,
        'corea_tier_seconds_bucket{le="2.5",tier="1"}': 1,
        'corea_overhead_seconds_bucket{le="0.002",tier="0"}': 2,
        'corea_overhead_seconds_sum{tier="1"}': 0.05,
        'corea_queue_depth{tier="1"}': 7,
        "corea_saved_usd": 2 * (0.03 - 0.001),
        "corea_drift_alarm": 0,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)
    values = metrics.values()
    assert (values["corea_requests_total"]["2xx"], values["corea_confidence_bucket"]["0.3"]) == (4, 2)
    assert values["corea_saved_usd"] == {"": pytest.approx(0.058)}


def test_ten_thousand_invented_models_and_many_tiers_make_at_most_200_series():
    metrics = ServedMetrics(range(6))
    for number in range(10_000):
        tiers = (served_tier(number % 8, 0.5, model=f"invented-{number}", error=f"error {number}"),)
        metrics.observe(
            record(f"r{number}", tier=number % 8, reason=f"reason {number % 99}", tiers=tiers, http_status=number % 700)
        )
    for reason in ("kept", "low", "missing", "truncated", "slm_error", "budget", "uncalibrated", "drift"):
        metrics.observe(kept("r", reason=reason))
    for tier in range(9):
        metrics.set_queue(tier, 1)
    text = metrics.page()[0].decode()
    assert 100 < len(samples(text)) <= 200
    assert "invented" not in text


def test_any_worker_answers_for_both(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WORKERS, str(tmp_path / "m")], capture_output=True, text=True, check=True
    )
    both, ended = (samples(part) for part in done.stdout.split("ENDED"))
    assert both['corea_requests_total{status="2xx"}'] == 8
    assert both["corea_deferrals_total"] == 4
    assert both['corea_queue_depth{tier="1"}'] == 7
    assert both["corea_budget_left_usd"] == 9
    assert ended['corea_requests_total{status="2xx"}'] == 8
    assert ended['corea_queue_depth{tier="1"}'] == 3
