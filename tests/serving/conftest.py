"""Questions for the tiny pair, and an operating point of it."""

import json
import random
from pathlib import Path

import live_helpers as live
import pytest
from serve_helpers import StreamServer, echo_tier, running, server_tier


@pytest.fixture(autouse=True)
def fresh_engines():
    live.CALLS.clear()
    live.INTERRUPT_AFTER.clear()


@pytest.fixture(scope="session")
def questions(tmp_path_factory) -> Path:
    """questions.jsonl: sums that the tiny pair knows, with their results."""
    rng, rows = random.Random(0), []
    for i in range(live.COUNT):
        terms = [rng.randint(1, 9) for _ in range(3 + i % 3)]
        text = "State the final answer to the following arithmetic problem: " + " + ".join(map(str, terms)) + " ="
        rows.append({"question_id": f"q{i}", "question": text, "gold": str(sum(terms))})
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def pair_point(tmp_path_factory) -> Path:
    """operating_point.json of the tiny pair: defers about half of the questions."""
    expected = {"deferral_rate": {"value": 0.5}, "cost_usd": {"value": 3e-4}, "cost_change": {"value": -0.25}}
    folder = tmp_path_factory.mktemp("point")
    return live.write_point(
        folder, live.tiny_pair(), {"sums": {"signal": "verbalized", "thresholds": [0.5], "expected": expected}}
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running server: a tier that echoes, then a server that is asked where the first is unsure."""
    with (
        StreamServer() as upstream,
        running(tmp_path_factory.mktemp("serve"), [echo_tier(0), server_tier(1, upstream.url)]) as one,
    ):
        yield one
