"""Named prompts."""

import pytest

from corea.errors import UserError
from corea.tasks.prompts import PROMPTS, build_messages, get_prompt, prompt_hash
from corea.types import Question

QUESTION = Question(id="q", dataset="d", source="s", split="test", text="34 + 7 = ?", gold="41")


def test_plain_is_the_bare_question():
    for name in ("plain", "plain_answer"):
        assert build_messages(name, QUESTION) == [{"role": "user", "content": "34 + 7 = ?"}]


def test_the_others_say_what_is_wanted_first():
    for name in ("answer", "confidence", "confidence_percent"):
        system, user = build_messages(name, QUESTION)
        assert (system["role"], user) == ("system", {"role": "user", "content": "34 + 7 = ?"})
        assert "<think>" in system["content"]
        assert "<answer>" in system["content"]
        assert ("<confidence>" in system["content"]) is get_prompt(name).expects_confidence
        assert ("percent" in system["content"]) is get_prompt(name).percent


def test_hashes_tell_prompts_apart_and_are_stable():
    assert len({prompt_hash(name) for name in PROMPTS}) == len(PROMPTS)
    assert prompt_hash("answer") == prompt_hash("answer")
    assert len(prompt_hash("answer")) == 16


def test_an_unknown_prompt_is_named_with_the_choices():
    with pytest.raises(UserError, match="prompt=polite: allowed is plain, "):
        get_prompt("polite")
