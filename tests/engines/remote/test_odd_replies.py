"""OpenAIEngine against a server whose replies are odd: the answer is kept where there is one, and is on disk first."""

import json

import pytest

from corea.config import PriceConfig
from corea.engines.remote.error_text import error_text
from corea.engines.remote.openai_chat import OpenAIEngine
from corea.types import Sampling
from fault_server import USAGE, FaultServer, response

PRICE = PriceConfig(input=1.0, cached=0.5, output=2.0)
COST = (15 * 1.0 + 5 * 0.5 + 10 * 2.0) / 1e6
"""Of one answer with USAGE."""
MOST = (256 + 16 + 1) * 1e-6 + 100 * 2e-6
"""Most that one call can cost."""
KEY = "sk-not-a-real-one-93ab"


class Replies(FaultServer):
    """Sends `payload` under `status` to every request."""

    status, payload = 200, b""

    def answer(self, handler, body, fault):
        self.send(handler, self.status, self.payload)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr("corea.engines.remote.attempts.FIRST_WAIT_S", 0.001)
    monkeypatch.setenv("COREA_TEST_KEY", KEY)


@pytest.fixture
def ask(tmp_path):
    """`ask(payload, status)`: (completion, engine) of one question whose replies are all `payload` (text, or a value as
    JSON); `engine.requests` counts them."""

    with Replies(lambda key, attempt: None) as server:
        options = {"base_url": server.url, "key_env": "COREA_TEST_KEY", "cache": str(tmp_path / "cache"), "tries": 2}

        def ask(payload, status=200):
            server.payload = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
            server.status = status
            server.requests.clear()
            engine = OpenAIEngine("m", price=PRICE, ledger=tmp_path / "spending.jsonl", **options)
            try:
                ((answer,),) = engine.generate([[{"role": "user", "content": "a"}]], Sampling(max_tokens=100))
            finally:
                engine.close()
            engine.requests = len(server.requests)
            return answer, engine

        yield ask


def reply(message=None, **choice):
    """A chat completion with a message of its own, and further fields of its choice."""
    made = response({"model": "m", "messages": [{"content": "7"}]})
    if message is not None:
        made["choices"][0]["message"] = {"role": "assistant", **message}
    made["choices"][0] |= choice
    return made


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        *(
            (r, "stop")
            for r in ("eos_token", "stop_sequence", "", None, "tool_calls", "END", "weird", 3, {"type": "stop"})
        ),
        *((r, "length") for r in ("length", "max_tokens", "MAX_TOKENS", {"type": "length"})),
        ("content_filter", "error"),
    ],
)
def test_an_answer_is_kept_whatever_its_finish_reason(ask, reason, read):
    answer, engine = ask(reply(finish_reason=reason))
    assert (answer.text, answer.finish_reason) == ("<answer>7</answer>", read)
    assert engine.requests == 1
    assert engine.spent_usd == pytest.approx(COST)


def test_no_text_under_an_unknown_reason_is_an_error_that_names_it(ask):
    answer, _ = ask(reply({"content": None}, finish_reason="tool_calls"))
    assert (answer.finish_reason, answer.error) == (
        "error",
        "the server ended the answer with finish_reason=tool_calls",
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "x = 5"}, "x = 5"),
        ({"content": None, "reasoning_content": "so it is 5"}, "so it is 5"),
        ({"content": "", "reasoning": "so it is 5"}, "so it is 5"),
        ({"content": "5", "reasoning_content": "is it 6?"}, "5"),
        ({"content": [{"type": "text", "text": "x = "}, {"type": "text", "text": "5"}]}, "x = 5"),
        ({"content": [{"type": "thinking", "text": "6?"}, {"type": "output_text", "text": "5"}]}, "5"),
        ({"content": ["x = ", "5"]}, "x = 5"),
        ({"content": []}, ""),
        ({"content": 5}, "5"),
        ({"content": None, "refusal": "I must not say"}, "I must not say"),
        ({"content": None}, ""),
        ({}, ""),
    ],
)
def test_where_the_text_of_an_answer_stands(ask, message, text):
    answer, engine = ask(reply(message))
    assert (answer.text, answer.finish_reason) == (text, "stop")
    assert engine.requests == 1


def test_the_text_of_a_choice_without_a_message(ask):
    answer, _ = ask({"choices": [{"text": "5", "finish_reason": "stop"}], "usage": USAGE})
    assert answer.text == "5"


def test_reasoning_that_was_cut_off_is_no_answer(ask):
    answer, _ = ask(reply({"content": None, "reasoning_content": "<answer>1</answer>?"}, finish_reason="length"))
    assert (answer.text, answer.finish_reason) == ("", "length")


def test_a_lone_surrogate_is_replaced_in_the_answer_and_on_disk(ask, tmp_path):
    text = json.dumps(reply({"content": "<answer>HALF PAIR</answer>"}, finish_reason="eos_token"))
    broken = text.replace("HALF", r"\ud83d").replace("PAIR", r"\ud83d\ude00").replace('"id": "1"', r'"id": "\udc00"')
    answer, engine = ask(broken)
    assert answer.text == "<answer>\ufffd \U0001f600</answer>"
    assert engine.requests == 1
    again, engine = ask(broken)
    assert (again.text, engine.requests) == (answer.text, 0)
    (file,) = (tmp_path / "cache").rglob("*.json")
    assert json.loads(file.read_text())["response"]["id"] == "\ufffd"


def test_a_lone_surrogate_in_a_question_is_replaced(tmp_path):
    with FaultServer(lambda key, attempt: None) as server:
        engine = OpenAIEngine("m", base_url=server.url, key_env=None, cache=str(tmp_path))
        ((answer,),) = engine.generate([[{"role": "user", "content": "a\ud83d"}]], Sampling(max_tokens=9))
        engine.close()
    assert answer.text == "<answer>a\ufffd</answer>"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": "20", "completion_tokens": 10.0}, (20, 10)),
        (
            {"prompt_tokens": 20, "completion_tokens": 10, "prompt_tokens_details": "none", "total_tokens": None},
            (20, 10),
        ),
        ({"prompt_tokens": 20, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": -3}}, (20, 10)),
        *(
            ({"prompt_tokens": 20, "completion_tokens": odd}, None)
            for odd in ("ten", None, -1, 0.5, True, [10], {}, 10**30, float("nan"), float("inf"))
        ),
        ({"prompt_tokens": 20}, None),
        ([], None),
        ("20", None),
        (None, None),
    ],
)
def test_odd_usage_costs_no_answer(ask, usage, tokens):
    answer, engine = ask(reply() | {"usage": usage, "model": ["m"], "created": "now"})
    assert (answer.text, answer.finish_reason) == ("<answer>7</answer>", "stop")
    counted = None if answer.extra.get("tokens") == "unknown" else (answer.prompt_tokens, answer.completion_tokens)
    assert counted == tokens
    assert engine.spent_usd == pytest.approx(MOST if tokens is None else 40e-6)


@pytest.mark.parametrize("broken", ["completion_of", "usage_of"])
def test_a_paid_answer_is_on_disk_before_it_is_read(ask, broken, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(f"corea.engines.remote.openai_chat.{broken}", fails)
        ask(reply())
    answer, engine = ask(reply())
    assert (answer.text, engine.requests) == ("<answer>7</answer>", 0)


def test_a_damaged_response_on_disk_is_asked_for_again(ask, tmp_path):
    ask(reply())
    (file,) = (tmp_path / "cache").rglob("*.json")
    entry = json.loads(file.read_text())
    for damage in ({"response": {"choices": []}}, {"latency_s": None}):
        file.write_text(json.dumps(entry | damage))
        answer, engine = ask(reply())
        assert (answer.text, engine.requests) == ("<answer>7</answer>", 1)


FIELD = {"loc": ["body", "max_tokens"], "msg": "Input should be less than 4097", "type": "less_than", "input": 9999}


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"error": {"message": "no such model", "type": "x"}}, "HTTP 200 with an error: no such model"),
        ({"error": "out of memory"}, "HTTP 200 with an error: out of memory"),
        ({"errors": [{"message": "bad key"}, {"message": "bad day"}]}, "HTTP 200 with an error: bad key; bad day"),
        ({"detail": "Not ready"}, "HTTP 200 with an error: Not ready"),
        ({"detail": [FIELD]}, "HTTP 200 with an error: body.max_tokens: Input should be less than 4097"),
        ({"error": {"code": 429, "message": "later"}}, "HTTP 200 with error 429: later"),
        (reply({"content": "half"}, error={"code": 502, "message": "gone"}), "HTTP 200 with error 502: gone"),
        ({"object": "error", "message": "worker died", "code": 50001}, "a response without an answer: worker died"),
        ({"choices": []}, 'a response without an answer: {"choices": []}'),
        ({"choices": None, "note": "b"}, 'a response without an answer: {"choices": null, "note": "b"}'),
        ({"choices": [None]}, 'a response without an answer: {"choices": [null]}'),
        ({"choices": [{}]}, 'a response without an answer: {"choices": [{}]}'),
        ({"choices": [{"message": "a"}]}, 'a response without an answer: {"choices": [{"message": "a"}]}'),
        ([1, 2], "a response without an answer: 1; 2"),
        (7, "a response without an answer: 7"),
        ({}, "a response without an answer"),
        ("<html><head><style>p {}</style></head><p>Bad\n<b>gateway</b>", "a response that is not JSON: Bad gateway"),
        ("upstream down", "a response that is not JSON: upstream down"),
        ("", "a response that is not JSON"),
        ("[" * 100_000, f"a response that is not JSON: {'[' * 199}…"),
    ],
)
def test_what_a_reply_without_an_answer_says_is_shown(ask, payload, shown):
    answer, engine = ask(payload)
    assert (answer.finish_reason, answer.text) == ("error", "")
    assert answer.error == f"{shown} (after 2 tries)"
    assert engine.requests == 2


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"detail": "too long"}, "HTTP 422: too long"),
        ({"detail": [FIELD]}, "HTTP 422: body.max_tokens: Input should be less than 4097"),
        ({"detail": [FIELD, {"loc": ["body", 0], "msg": "Field required"}]}, None),
        ({"error": "too long"}, "HTTP 422: too long"),
        ({"error": {"message": {"reason": "too long"}}}, "HTTP 422: too long"),
        ({"message": "too long"}, "HTTP 422: too long"),
        ({"why": "too long"}, 'HTTP 422: {"why": "too long"}'),
        ("too long", "HTTP 422: too long"),
        ("<h1>too long</h1>", "HTTP 422: too long"),
        ("", "HTTP 422"),
    ],
)
def test_the_body_of_a_refused_request_is_shown(ask, payload, shown):
    answer, _ = ask(payload, 422)
    shown = shown or "HTTP 422: body.max_tokens: Input should be less than 4097; body.0: Field required"
    assert answer.error == f"{shown} (after 1 tries)"


def test_an_error_under_status_200_costs_nothing_if_the_server_counted_nothing(ask):
    _, engine = ask({"error": {"message": "no"}})
    assert engine.spent_usd == 0
    _, engine = ask({"error": {"message": "no"}, "usage": USAGE})
    assert engine.spent_usd == pytest.approx(2 * COST)


@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_a_body_repeats_is_not_shown(ask, status):
    answer, _ = ask({"error": {"message": f"{'x' * 190} {KEY} is wrong"}}, status)
    assert "xxx" in answer.error
    assert KEY[:8] not in answer.error


def test_a_refused_key_in_a_body_under_status_200_ends_the_calls(ask):
    answer, engine = ask({"error": {"code": 401, "message": f"wrong key {KEY}"}})
    assert answer.finish_reason == "error"
    assert "HTTP 200 with error 401; is the key in $COREA_TEST_KEY the right one?" in str(engine.stopped)
    assert KEY not in str(engine.stopped)


def test_errors_are_shown_in_one_line_of_bounded_length():
    assert error_text({"error": "a\n\tb" + "c" * 10_000}) == "a b" + "c" * 196 + "…"
    deep = {"message": "found"}
    for _ in range(50):
        deep = {"error": deep}
    assert len(error_text(deep)) == 200
