"""Tiers behind a server: the budget of all together, failures, and what is paid."""

import asyncio
import json
import threading
from pathlib import Path

import live_helpers as live
import pandas as pd
import pytest

from corea.config import OpenAIEngineConfig, PriceConfig
from corea.engines.remote.ledger import BudgetReached, Ledger
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.engines.remote.paid_calls import PaidCalls
from corea.errors import UserError
from fault_server import FaultServer

CALL = (20 * 10 + 10 * 20) / 1e6
"""Dollars of a call of the server at the price of tier 1: 20 prompt tokens and 10 of the answer."""


def point_behind(server: FaultServer, folder: Path, **engine) -> Path:
    """The tiny SLM, and behind it a server as the LLM."""
    small = live.tiny_pair()[0]
    options = {"base_url": server.url, "key_env": None, "cache": str(folder / "cache"), "tries": 2, "concurrency": 4}
    large = live.tier(1, "some-model", OpenAIEngineConfig(**(options | engine)), prompt="answer", max_tokens=20)
    return live.write_point(folder, [small, large], {"sums": {"signal": "verbalized", "thresholds": [0.5]}})


def paid(folder: Path) -> float:
    lines = (folder / "answers" / "spending.jsonl").read_text().splitlines()
    return sum(entry.get("spent", 0.0) for entry in map(json.loads, lines))


def test_only_what_is_deferred_is_paid_for_and_once(tmp_path, questions):
    with FaultServer(lambda key, attempt: None) as server:
        point = point_behind(server, tmp_path)
        table = live.answer(tmp_path / "run", questions, point, "chunk=8")
        deferred = int((table.tier == 1).sum())
        assert 5 < deferred < live.COUNT - 5
        assert len(server.requests) == deferred
        assert set(server.texts.values()) == set(table.question[table.tier == 1])
        assert table[table.tier == 1].answer.tolist() == table[table.tier == 1].question.tolist()  # the server's echo
        assert table.tier1_cost_usd.dropna().tolist() == pytest.approx([CALL] * deferred)
        assert paid(tmp_path / "run") == pytest.approx(deferred * CALL)
        live.answer(tmp_path / "run", questions, point)
        live.answer(tmp_path / "other", questions, point)  # from the cache of responses
        assert len(server.requests) == deferred


def test_a_budget_that_is_reached_stops_the_run_and_a_larger_one_continues_it(tmp_path, questions):
    with FaultServer(lambda key, attempt: None) as server:
        point = point_behind(server, tmp_path, cache=None)
        with pytest.raises(BudgetReached, match=r"^budget_usd=0\.008: reached; .* larger budget"):
            live.answer(tmp_path / "run", questions, point, "budget_usd=0.008", "chunk=4")
        assert not (tmp_path / "run" / "answered.parquet").exists()
        assert 0 < paid(tmp_path / "run") <= 0.008
        small = live.asked("package:tiny_slm")
        before = len(server.requests)
        table = live.answer(tmp_path / "run", questions, point, "budget_usd=1", "chunk=4")
        assert live.asked("package:tiny_slm") == live.COUNT >= small
        assert len(server.requests) == (table.tier == 1).sum() > before
        assert paid(tmp_path / "run") == pytest.approx(CALL * len(server.requests))


def test_without_budget_the_small_models_answer_can_stand(tmp_path, questions):
    with FaultServer(lambda key, attempt: None) as server:
        point = point_behind(server, tmp_path)
        overrides = ("budget_usd=0.008", "answer.on_budget=slm", "chunk=4")
        table = live.answer(tmp_path / "run", questions, point, *overrides)
    cut = table[table.reason == "budget"]
    assert len(cut) > 0
    assert (cut.tier == 0).all()
    assert (cut.confidence < 0.5).all()
    assert (table.tier == 1).sum() == len(server.requests)
    assert paid(tmp_path / "run") <= 0.008


def test_a_budget_needs_prices(tmp_path, questions):
    with FaultServer(lambda key, attempt: None) as server:
        point = point_behind(server, tmp_path)
        document = json.loads(point.read_text())
        document["prices"]["1"] = {}
        point.write_text(json.dumps(document))
        with pytest.raises(UserError, match=r"budget_usd=1: tier 1 has no price; give tiers\.1\.price\.input"):
            live.answer(tmp_path / "run", questions, point, "budget_usd=1")
        assert server.requests == []


def test_a_question_that_the_large_model_fails_on_is_an_error_and_is_asked_again(tmp_path, questions):
    failing: set[str] = set()

    def fault(key: str, attempt: int) -> str | None:
        if not failing and attempt == 1 and not healed.is_set():
            failing.add(key)
        return "400" if key in failing and not healed.is_set() else None

    healed = threading.Event()
    with FaultServer(fault) as server:
        point = point_behind(server, tmp_path)
        table = live.answer(tmp_path / "run", questions, point)
        (failed,) = table[table.status == "error"].to_dict("records")
        assert pd.isna(failed["answer"])
        assert "HTTP 400" in failed["error"]
        assert not failed["correct"]
        assert live.summary(tmp_path / "run")["failed"] == 1
        calls = len(server.requests)
        fallen = live.answer(tmp_path / "run", questions, point, "answer.on_llm_failure=slm")
        (one,) = fallen[fallen.fallback].to_dict("records")
        assert (one["question_id"], one["tier"], one["status"]) == (failed["question_id"], 0, "ok")
        assert "HTTP 400" in one["error"]
        assert len(server.requests) == calls + 1
        healed.set()
        whole = live.answer(tmp_path / "run", questions, point)
        assert (whole.status != "error").all()
        assert len(server.requests) == calls + 2


def test_a_key_that_the_server_rejects_ends_the_run_in_one_line(tmp_path, questions):
    with FaultServer(lambda key, attempt: "401") as server:
        point = point_behind(server, tmp_path)
        with pytest.raises(UserError, match="HTTP 401"):
            live.answer(tmp_path / "run", questions, point)


def test_a_ledger_that_threads_share_never_exceeds_its_budget(tmp_path):
    ledger, granted = Ledger(tmp_path / "spending.jsonl", 1.0), []

    def spend() -> None:
        for _ in range(200):
            ticket = ledger.reserve(0.01)
            if ticket is not None:
                granted.append(ticket)
                ledger.settle(ticket, 0.01)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert len(granted) == len(set(granted)) in (99, 100)  # sums of 0.01 are rounded
    assert ledger.spent <= 1.0 + 1e-9
    assert Ledger(tmp_path / "spending.jsonl", 1.0).spent == pytest.approx(ledger.spent)


def test_calls_that_are_given_up_while_they_wait_for_budget_stop_no_other_call():
    async def scenario() -> None:
        engine = OpenAIEngine(
            "m", ledger=Ledger(None, 1.0), key_env=None, cache=None, price=PriceConfig(input=1, output=1)
        )
        calls = PaidCalls(engine, None)
        first = await calls._reserve(1.0, patient=True)
        waiting = [asyncio.create_task(calls._reserve(1.0, patient=True)) for _ in range(20)]
        await asyncio.sleep(0.01)
        for _ in range(3):  # the client hangs up, the deadline is over, the server stops
            for one in waiting:
                one.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            found = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in found] == [asyncio.CancelledError] * 20
            late = asyncio.create_task(calls._reserve(1.0, patient=True))
            await asyncio.sleep(0.01)
            engine.ledger.settle(first, 0.0)
            assert await late == first + 1

    asyncio.run(scenario())
