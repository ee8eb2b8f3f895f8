"""Recorded completions in the place of a model."""

from corea.engines.replay import ReplayEngine
from corea.types import Completion, Engine, Sampling


def completion(text):
    return Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)


ENGINE = ReplayEngine({"a": [completion("1"), completion("2")]}, model_name="m", texts={"3 + 4": "a"})


def asked(text, n=1):
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return ENGINE.generate([prompt], Sampling(n=n))[0]


def test_it_is_an_engine():
    assert isinstance(ENGINE, Engine)


def test_questions_are_found_by_their_text():
    assert [c.text for c in asked("3 + 4", n=2)] == ["1", "2"]
    assert [c.text for c in asked("3 + 4")] == ["1"]


def test_what_was_not_recorded_is_an_error():
    assert [(c.finish_reason, c.error) for c in asked("3 + 5")] == [("error", "not recorded")]
    assert [c.finish_reason for c in asked("3 + 4", n=3)] == ["stop", "stop", "error"]
    assert ENGINE.recorded(None, 1)[0].finish_reason == "error"
