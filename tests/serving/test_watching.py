"""From a served record to the log, the metrics, drift and an evaluation, with the parts as a server builds them."""

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from served_records import deferred, kept, served_tier

from answer_tables import config
from corea.cascade.live_point import read_point
from corea.config.serve_watch_schema import ServeWatchConfig
from corea.evaluation.pipeline import run_evaluation
from corea.serving.watching import watch

COSTS = {"cost_usd": 1e-5}


@pytest.fixture
def point(tmp_path):
    first = {"dataset": "sums", "signal": "verbalized", "recalibrate": "none", "thresholds": [0.5], "chain": [0, 1]}
    first["expected"] = {"deferral_rate": {"value": 0.5, "n": 100}}
    document = {"schema": 1, "dataset": "sums", "datasets": {"sums": first}, "models": {"0": {"model": "slm"}}}
    (tmp_path / "operating_point.json").write_text(json.dumps(document))
    return read_point(tmp_path / "operating_point.json")


def serve(watching, point, count: int) -> None:
    """Half of the questions are deferred; shadowed ones get the answer of tier 1."""
    both = served_tier(0, 0.25, **COSTS), served_tier(1, cost_usd=1e-4)
    for number in range(count):
        name = f"r{number}"
        if number % 2:
            record = deferred(name, 0.25, agrees=number % 4 == 1, tiers=both, operating_point=point.sha256)
        else:
            shadowed, probability = watching.shadow.draw(name)
            tiers = (served_tier(0, 0.75 + number % 3 / 10, **COSTS), *(both[1:] if shadowed else ()))
            more = {"shadow": shadowed, "agrees": number % 10 > 0 if shadowed else None}
            record = kept(name, tiers=tiers, shadow_probability=probability, operating_point=point.sha256, **more)
        for observe in watching.observers:
            observe(record)


def test_what_is_served_is_logged_counted_and_evaluated(tmp_path, point):
    cfg = ServeWatchConfig(log_folder=str(tmp_path / "log"), shadow_share=0.5, shadow_per_minute=None)
    watching = watch(cfg, point, {"corea": point.point("sums")}, call_usd=0.01)
    serve(watching, point, 800)
    app = FastAPI()
    for router in (watching.metrics.router(), watching.feedback):
        app.include_router(router)
    user = TestClient(app)
    assert 'corea_requests_total{status="2xx"} 800.0' in user.get("/metrics").text
    assert user.post("/v1/feedback", json={"request_id": "r1", "correct": True}).status_code == 200
    health = watching.health()
    assert (health["drift"]["alarm"], health["log_lost"], watching.diverts()) == (False, 0, False)
    assert health["drift"]["tests"]["sums"]["deferral"]["questions"] == 800
    watching.close()
    results = run_evaluation(config(tmp_path / "log", rule="max_drop", delta=0.3, compare=False))
    notes = " ".join(results.notes)
    assert f"running point {point.sha256[:12]}, verbalized, threshold 0.5" in notes
    assert results.answers.meta["models"] == {"0": {"model": "slm"}}


def test_without_a_log_there_is_neither_shadow_nor_feedback(point):
    watching = watch(ServeWatchConfig(), point, {"corea": point.point("sums")})
    assert (watching.log, watching.shadow, watching.feedback) == (None, None, None)
    for observe in watching.observers:
        observe(kept("r"))
    assert b'corea_answers_total{tier="0"} 1.0' in watching.metrics.page()[0]
    watching.close()
