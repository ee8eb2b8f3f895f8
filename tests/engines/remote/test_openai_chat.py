"""OpenAIEngine against a real HTTP server on loopback that fails in every way a server can."""

import json
from datetime import UTC, datetime

import pytest

from corea.config import PriceConfig
from corea.engines.remote.attempts import Failure, retry_after, wait_s
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.errors import UserError
from corea.types import Engine, Sampling
from fault_server import COUNTED, FAULTS, FaultServer

PRICE = PriceConfig(input=1.0, cached=0.5, output=2.0)
COST = (15 * 1.0 + 5 * 0.5 + 10 * 2.0) / 1e6
"""Of one answer of the server: 15 fresh and 5 cached prompt tokens, 10 of the answer."""
KEY = "sk-not-a-real-one-7e1f"


def prompt(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr("corea.engines.remote.attempts.FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("COREA_TEST_KEY", KEY)


def engine(server, tmp_path, **options):
    given = {
        "base_url": server.url,
        "key_env": "COREA_TEST_KEY",
        "cache": str(tmp_path / "cache"),
        "timeout_s": 2.0,
        "price": PRICE,
        "ledger": tmp_path / "spending.jsonl",
    }
    return OpenAIEngine("m", **(given | options))


def ask(engine, *texts, n=1, **sampling):
    try:
        return engine.generate([prompt(t) for t in texts], Sampling(n=n, max_tokens=100, **sampling))
    finally:
        engine.close()


def test_an_answer_with_its_usage(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        client = engine(server, tmp_path)
        assert isinstance(client, Engine)
        told = []
        ((answer,),) = client.generate([prompt("3 + 4")], Sampling(max_tokens=100), told.append)
    assert (answer.text, answer.finish_reason, answer.model) == ("<answer>3 + 4</answer>", "stop", "m")
    assert (answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens) == (20, 5, 10)
    assert answer.extra["reasoning_tokens"] == 4
    assert client.spent_usd == pytest.approx(COST)
    assert told == [1]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_followed_by_another_try(fault, tmp_path):
    with FaultServer(lambda key, attempt: fault if attempt == 1 else None) as server:
        client = engine(server, tmp_path)
        ((answer,),) = ask(client, "a")
    assert (answer.text, answer.finish_reason) == ("<answer>a</answer>", "stop")
    assert len(server.requests) == 2
    # What the server may have charged counts as the most that the call could cost.
    most = (256 + 16 + 1) * 1e-6 + 100 * 2e-6
    lost = 0.0 if fault in ("429", "429_after", "500") else most
    assert client.spent_usd == pytest.approx(COST + lost)


class TestRetries:
    """Tokens of failed attempts: what the server counted for them, and nothing else."""

    def retries(self, answer):
        return answer.extra.get("retry_prompt_tokens"), answer.extra.get("retry_completion_tokens")

    @pytest.mark.parametrize("fault", COUNTED)
    def test_counted_ones_stand_beside_the_answer(self, fault, tmp_path):
        with FaultServer(lambda key, attempt: fault if attempt <= 2 else None) as server:
            client = engine(server, tmp_path)
            ((answer,),) = ask(client, "a")
            ((cached,),) = ask(engine(server, tmp_path), "a")
            assert len(server.requests) == 3
        assert answer.text == cached.text == "<answer>a</answer>"
        assert (answer.prompt_tokens, answer.completion_tokens) == (20, 10)
        assert self.retries(answer) == self.retries(cached) == (40, 20)
        assert client.spent_usd == pytest.approx(3 * COST)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_what_the_server_did_not_count_is_not_made_up(self, fault, tmp_path):
        with FaultServer(lambda key, attempt: fault if attempt == 1 else None) as server:
            ((answer,),) = ask(engine(server, tmp_path, timeout_s=1.0), "a")
        assert self.retries(answer) == (None, None)

    def test_they_outlive_the_process_and_belong_to_their_question(self, tmp_path):
        with FaultServer(lambda key, attempt: "no_choices" if attempt <= 3 else None) as server:
            ((failed,),) = ask(engine(server, tmp_path, tries=2), "a")
            assert (failed.finish_reason, *self.retries(failed)) == ("error", 40, 20)
            a, b = ask(engine(server, tmp_path), "a", "b")  # a fails once more, b three times
        assert self.retries(a[0]) == (60, 30)
        assert self.retries(b[0]) == (60, 30)
        assert engine(server, tmp_path).spent_usd == pytest.approx(8 * COST)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_the_last_try_the_question_has_failed(fault, tmp_path):
    with FaultServer(lambda key, attempt: fault) as server:
        ((answer,),) = ask(engine(server, tmp_path, tries=2, timeout_s=1.0), "a")
        assert len(server.requests) == 2
    assert answer.finish_reason == "error"
    assert answer.error.endswith("(after 2 tries)")


def test_retry_after_is_waited_for_by_every_call(tmp_path):
    with FaultServer(lambda key, attempt: "429_after" if attempt == 1 else None, retry_after="0.4") as server:
        answers = ask(engine(server, tmp_path, concurrency=1), "a", "b")
    assert [a.finish_reason for (a,) in answers] == ["stop", "stop"]
    times = [t for t, _, _ in server.requests]
    assert times[1] - times[0] >= 0.4
    with FaultServer(lambda key, attempt: "429_after", retry_after="999") as server:
        ((answer,),) = ask(engine(server, tmp_path, max_wait_s=1), "c")
    assert (len(server.requests), answer.finish_reason) == (1, "error")


def test_reading_retry_after():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, now) == 30.0
    assert retry_after({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, now) == 0.0
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None


def test_waits_double_with_jitter_up_to_the_most(monkeypatch):
    monkeypatch.setattr("corea.engines.remote.attempts.FIRST_WAIT_S", 1.0)
    for tries, low, high in ((1, 0.5, 1), (2, 1, 2), (4, 4, 8), (9, 5, 10)):
        drawn = [wait_s(tries, Failure(reason=""), most=10) for _ in range(200)]
        assert low <= min(drawn) < max(drawn) <= high
    assert 3 <= wait_s(1, Failure(reason="", retry_after=3), most=10) <= 3.3
    assert wait_s(1, Failure(reason="", retry_after=11), most=10) is None


def test_missing_usage_is_unknown_and_charged_in_full(tmp_path):
    with FaultServer(lambda key, attempt: "no_usage") as server:
        client = engine(server, tmp_path)
        ((answer,),) = ask(client, "a")
    assert (answer.finish_reason, answer.extra["tokens"]) == ("stop", "unknown")
    assert client.spent_usd == pytest.approx((256 + 16 + 1) * 1e-6 + 100 * 2e-6)


def test_an_answer_under_the_wrong_content_type_is_still_one(tmp_path):
    with FaultServer(lambda key, attempt: "plain") as server:
        ((answer,),) = ask(engine(server, tmp_path), "a")
    assert answer.text == "<answer>a</answer>"


def test_calls_under_way_are_bounded(tmp_path):
    with FaultServer(lambda key, attempt: "429_after" if attempt == 1 else None) as server:
        ask(engine(server, tmp_path, concurrency=3), *map(str, range(30)))
    assert server.most_under_way <= 3


def test_nothing_is_paid_for_twice(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        first = ask(engine(server, tmp_path), "a", "b", "a", n=2)
        assert len(server.requests) == 4  # two samples of a and of b
        again = ask(engine(server, tmp_path), "b", "a", n=2)
        assert len(server.requests) == 4
        ask(engine(server, tmp_path), "a", temperature=0.5)
        ask(engine(server, tmp_path), "a", seed=1)
        ask(engine(server, tmp_path, extra={"top_p": 0.5}), "a")
        assert len(server.requests) == 7
    assert [g[0].text for g in again] == [first[1][0].text, first[0][0].text]
    assert again[0][0].latency_s == first[1][0].latency_s


def test_a_damaged_response_is_asked_for_again(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        ask(engine(server, tmp_path), "a")
        (file,) = (tmp_path / "cache").rglob("*.json")
        file.write_text(file.read_text()[:-9])
        ((answer,),) = ask(engine(server, tmp_path), "a")
    assert (answer.text, len(server.requests)) == ("<answer>a</answer>", 2)


def test_the_body_of_a_request(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        options = {"extra": {"temperature": None, "reasoning_effort": "low"}, "token_limit": "max_completion_tokens"}
        ask(engine(server, tmp_path, send_seed=False, **options), "a")
    (file,) = (tmp_path / "cache").rglob("*.json")
    kept = json.loads(file.read_text())
    assert kept["request"]["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "max_completion_tokens": 100,
        "reasoning_effort": "low",
    }
    assert kept["request"]["url"] == server.url


class TestBudget:
    MOST = (256 + 16 + 1) * 1e-6 + 100 * 2e-6
    """Of one call, of which it uses COST."""

    def test_it_is_never_overrun(self, tmp_path):
        budget = self.MOST + 3.5 * COST  # room for the reservation of a fifth call is not left
        with FaultServer(lambda key, attempt: None) as server:
            client = engine(server, tmp_path, budget_usd=budget, concurrency=8)
            answers = ask(client, *"abcdefghij")
        assert str(client.stopped).startswith(f"llm.budget_usd={budget:g}: reached")
        assert len(server.billed) == 4
        assert client.spent_usd == pytest.approx(4 * COST)
        assert sorted(a.finish_reason for (a,) in answers) == ["error"] * 6 + ["stop"] * 4

    def test_it_holds_over_several_starts(self, tmp_path):
        budget = self.MOST + 3.5 * COST
        with FaultServer(lambda key, attempt: None) as server:
            ask(engine(server, tmp_path, budget_usd=budget), *"abc")
            again = engine(server, tmp_path, budget_usd=budget)
            assert again.spent_usd == pytest.approx(3 * COST)
            ask(again, *"abcdef")  # three from the cache
            assert len(server.billed) == 4

    def test_a_call_that_was_killed_counts_in_full(self, tmp_path):
        ledger = tmp_path / "spending.jsonl"
        ledger.write_text(
            '{"ticket": 1, "reserved": 0.5}\n{"ticket": 1, "spent": 0.1}\n{"ticket": 2, "reserved": 0.25}\n{"ti'
        )
        with FaultServer(lambda key, attempt: None) as server:
            client = engine(server, tmp_path)
            assert client.spent_usd == pytest.approx(0.35)
            client.close()
            assert engine(server, tmp_path).spent_usd == pytest.approx(0.35)

    def test_one_process_spends_at_a_time(self, tmp_path):
        with FaultServer(lambda key, attempt: None) as server:
            client = engine(server, tmp_path)
            with pytest.raises(UserError, match="another process is spending from this budget"):
                engine(server, tmp_path)
            client.close()

    def test_it_needs_prices(self, tmp_path):
        with FaultServer(lambda key, attempt: None) as server, pytest.raises(UserError, match=r"llm\.price\.input"):
            engine(server, tmp_path, budget_usd=1.0, price=None)

    def test_a_damaged_ledger_is_refused(self, tmp_path):
        (tmp_path / "spending.jsonl").write_text("garbage\n")
        with FaultServer(lambda key, attempt: None) as server, pytest.raises(UserError, match="a damaged line"):
            engine(server, tmp_path)


@pytest.mark.parametrize(
    ("fault", "words"), [("401", "HTTP 401"), ("404", "HTTP 404: as asked"), ("quota", "no money")]
)
def test_what_no_other_question_would_survive_stops_at_once(fault, words, tmp_path):
    with FaultServer(lambda key, attempt: fault) as server:
        client = engine(server, tmp_path, concurrency=1)
        ask(client, *"abcdef")
    assert len(server.requests) == 1
    assert words in str(client.stopped)
    assert KEY not in str(client.stopped)


def test_a_request_that_the_server_refuses_fails_alone(tmp_path):
    with FaultServer(lambda key, attempt: "400" if len(server.attempts) == 1 else None) as server:
        answers = ask(engine(server, tmp_path, concurrency=1), "a", "b")
    assert [a.finish_reason for (a,) in answers] == ["error", "stop"]
    assert answers[0][0].error == "HTTP 400: as asked (after 1 tries)"


def test_nobody_listens(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        pass
    client = engine(server, tmp_path, tries=2)
    ((answer,),) = ask(client, "a")
    assert answer.error.startswith("connection failed")
    assert client.spent_usd == 0


def test_keys_come_from_the_environment_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("COREA_TEST_KEY")
    with FaultServer(lambda key, attempt: None) as server:
        with pytest.raises(UserError, match="COREA_TEST_KEY: this environment variable is not set"):
            engine(server, tmp_path)
        assert ask(engine(server, tmp_path, key_env=None), "a")[0][0].finish_reason == "stop"
    with pytest.raises(ValueError, match="without a name, password or query") as caught:
        engine(server, tmp_path, base_url=f"http://me:{KEY}@host/v1")
    assert KEY not in str(caught.value)
