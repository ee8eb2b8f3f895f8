"""The tokenizer of the tiny pair loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corea.sft.tiny_tokenizer import CHAT_TEMPLATE, SPECIAL, TAGS, build_tokenizer
from corea.sft.traces import CONFIDENCE_GRID
from corea.tasks.gym import gym_question

TOKENIZER = build_tokenizer()


@given(st.text())
def test_any_text_survives(text):
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


@given(st.lists(st.sampled_from([*TAGS, *CONFIDENCE_GRID, " + ", " cat", "7", "é", "猫", "\n", " "])))
def test_any_sequence_of_phrases_survives(parts):
    text = "".join(parts)
    assert TOKENIZER.decode(TOKENIZER(text).input_ids) == text


def test_numbers_are_read_digit_by_digit():
    assert [TOKENIZER.decode([i]) for i in TOKENIZER("1205").input_ids] == ["1", "2", "0", "5"]


def test_a_confidence_is_one_token_and_a_longer_number_is_not_cut():
    for confidence in CONFIDENCE_GRID:
        ids = TOKENIZER(f"<confidence>{confidence}</confidence>").input_ids
        assert len(ids) == 3
        assert TOKENIZER.decode([ids[1]]) == confidence
    assert len(TOKENIZER("10.500").input_ids) == 6


@pytest.mark.parametrize(
    ("task", "most"),
    [("chain_sum", 45), ("leg_counting", 60), ("letter_counting", 120), ("spell_backward", 25)],
)
def test_questions_are_short(task, most):
    for i in range(20):
        question = gym_question(i, task=task, params={}, name=task, dataset="d", split="test", seed=0)
        ids = TOKENIZER(question.text).input_ids
        assert len(ids) <= most
        assert TOKENIZER.decode(ids) == question.text


def test_the_chat_template():
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert TOKENIZER.chat_template == CHAT_TEMPLATE
    assert TOKENIZER.apply_chat_template(messages, tokenize=False) == "<|user|>S<|user|>U"
    prompted = TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompted == "<|user|>S<|user|>U<|assistant|>"
    answered = TOKENIZER.apply_chat_template([*messages, {"role": "assistant", "content": "A"}], tokenize=False)
    assert answered == "<|user|>S<|user|>U<|assistant|>A<|end|>"
    assert TOKENIZER.eos_token == SPECIAL[0]
    assert TOKENIZER.pad_token == SPECIAL[1]
