"""Feedback reaches the log that an evaluation reads; what cannot be accepted is an error in OpenAI's shape."""

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from served_records import kept

from corea.answers.served_format import read_feedback
from corea.serving.feedback import Feedback, feedback_router
from corea.serving.served_log import ServedLog


@pytest.fixture
def log(tmp_path):
    log = ServedLog(tmp_path, rows=2)
    yield log
    log.close()


def client(folder, text=False) -> TestClient:
    app = FastAPI()
    app.include_router(feedback_router(Feedback(folder, text)))
    return TestClient(app)


def test_the_last_verdict_on_each_tier_wins(log, tmp_path):
    log.add(kept("r1"))
    one, other = client(tmp_path), client(tmp_path)  # two workers
    for user, body in (
        (one, {"correct": True}),
        (other, {"correct": "wrong"}),
        (one, {"correct": True, "tier": 1}),
    ):
        answer = user.post("/v1/feedback", json={"request_id": "r1", **body})
        assert answer.status_code == 200
    assert answer.json() == {"object": "feedback", "request_id": "r1", "correct": True, "tier": 1}
    assert read_feedback(tmp_path) == {"r1": {None: False, 1: True}}


def test_requests_of_parts_tails_and_other_workers_are_known(log, tmp_path):
    user = client(tmp_path)
    other = ServedLog(tmp_path)
    for number in range(5):
        log.add(kept(f"a{number}"))
        other.add(kept(f"b{number}"))
        assert user.post("/v1/feedback", json={"request_id": f"b{number}", "correct": True}).status_code == 200
    other.close()
    for name in [f"{w}{n}" for w in "ab" for n in range(5)]:
        assert user.post("/v1/feedback", json={"request_id": name, "correct": False}).status_code == 200
    assert user.post("/v1/feedback", json={"request_id": "a5", "correct": True}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"request_id": "unknown", "correct": True}, 404, "request_not_found", "request_id"),
        ({"request_id": "r1"}, 400, "invalid_value", "correct"),
        ({"request_id": "r1", "correct": "perhaps"}, 400, "invalid_value", "correct"),
        ({"request_id": "r1", "correct": 1}, 400, "invalid_value", "correct"),
        ({"request_id": 7, "correct": True}, 400, "invalid_value", "request_id"),
        ({"request_id": "r1", "correct": True, "tier": -1}, 400, "invalid_value", "tier"),
        ({"request_id": "r1", "correct": True, "note": []}, 400, "invalid_value", "note"),
        (["r1"], 400, "invalid_body", None),
        (b"\xff{", 400, "invalid_json", None),
        (b"[" * 10_000, 400, "invalid_json", None),
        (b" " * 20_000, 413, "body_too_large", None),
    ],
)
def test_a_mistake_is_an_error_in_openais_shape(log, tmp_path, body, status, code, param):
    log.add(kept("r1"))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client(tmp_path).post("/v1/feedback", content=data)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert not (tmp_path / "feedback.jsonl").exists()


def test_a_note_is_kept_only_where_text_may_be_logged(log, tmp_path):
    log.add(kept("r1"))
    for text in (False, True):
        body = {"request_id": "r1", "correct": True, "note": "SECRET"}
        assert client(tmp_path, text).post("/v1/feedback", json=body).status_code == 200
        assert ("SECRET" in (tmp_path / "feedback.jsonl").read_text()) is text
