"""Recorded completions in the place of a model."""

import json

import pytest

from corea.engines.replay import RecordedFile, ReplayEngine
from corea.errors import UserError
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


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": ["2+2?"], "text": "4"}, "row 2: column question must hold text"),
        ({"question": "2+2?", "text": [{"content": "4"}]}, "row 2: column text must hold text"),
        (
            {"question": "2+2?", "text": "4", "cached_tokens": "many"},
            "row 2: column cached_tokens: 'many' is not a number",
        ),
        ({"question": "2+2?", "text": "4", "latency_s": -1}, "row 2: column latency_s: -1 is not a finite number >= 0"),
        ({"text": "4"}, "row 2: columns question and text are required"),
    ],
)
def test_a_recorded_file_of_another_shape_is_refused_in_one_line(tmp_path, row, message):
    rows = [{"question": "1+1?", "text": "2", "completion_tokens": None}, row]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with pytest.raises(UserError, match=message):
        RecordedFile(str(tmp_path / "rows.jsonl"))
