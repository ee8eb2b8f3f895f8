"""The one parser, case by case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corea.tasks.parsing import is_well_formed, parse_completion, read_confidence, tag_contents
from corea.types import Status

FULL = "<think>34+7=41</think> <answer>41</answer> <confidence>0.85</confidence>"


def test_complete_completion():
    parsed = parse_completion(FULL, "stop")
    assert (parsed.answer, parsed.confidence, parsed.status, parsed.well_formed) == ("41", 0.85, Status.OK, True)


@pytest.mark.parametrize(
    ("text", "finish", "answer", "confidence", "status"),
    [
        ("<answer>41</answer>", "stop", "41", None, Status.UNPARSED_CONFIDENCE),
        ("<confidence>0.5</confidence>", "stop", None, 0.5, Status.UNPARSED_ANSWER),
        ("41", "stop", None, None, Status.UNPARSED_ANSWER),
        ("", "stop", None, None, Status.UNPARSED_ANSWER),
        ("<think>34+7", "length", None, None, Status.TRUNCATED),
        ("<answer>41</answer> <conf", "length", "41", None, Status.TRUNCATED),
        (FULL + " and so", "length", "41", 0.85, Status.OK),
        (FULL, "error", None, None, Status.ERROR),
        ("<answer> </answer>", "stop", None, None, Status.UNPARSED_ANSWER),
    ],
)
def test_statuses(text, finish, answer, confidence, status):
    parsed = parse_completion(text, finish)
    assert (parsed.answer, parsed.confidence, parsed.status) == (answer, confidence, status)
    assert not parsed.well_formed


def test_without_an_expected_confidence_none_is_missed():
    text = "<think></think> <answer>41</answer>"
    assert parse_completion(text, "stop", expect_confidence=False).status is Status.OK
    assert parse_completion(text, "stop", expect_confidence=False).well_formed
    assert parse_completion(FULL, "stop", expect_confidence=False).confidence == 0.85


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        ("<answer>1</answer><answer>2</answer>", ["1", "2"]),
        ("<answer>1</answer><answer>2", ["1"]),
        ("<answer> draft <answer> 3 </answer>", ["3"]),
        ("<answer>4</answer></answer>", ["4"]),
        ("</answer><answer></answer>", []),
        ("<answer>5</answer> <answer> </answer>", ["5"]),
        ("<answer>a\nb</answer>", ["a\nb"]),
    ],
)
def test_tag_contents(text, contents):
    assert tag_contents(text, "answer") == contents


def test_last_well_formed_confidence_wins():
    text = "<answer>1</answer><confidence>0.2</confidence><confidence>0.4</confidence><confidence>high</confidence>"
    assert parse_completion(text, "stop").confidence == 0.4


@pytest.mark.parametrize(
    ("text", "plain", "percent"),
    [
        ("0.85", 0.85, 0.0085),
        ("1", 1.0, 0.01),
        ("60", None, 0.6),
        ("60%", None, 0.6),
        ("60 %", None, 0.6),
        ("100.", None, 1.0),
        ("0", 0.0, 0.0),
        (".5", 0.5, 0.005),
        ("9e-05", 9e-05, 9e-07),
        ("1e999", None, None),
        ("1.7", None, 0.017),
        ("101", None, None),
        ("-0.1", None, None),
        ("nan", None, None),
        ("inf", None, None),
        ("0,85", None, None),
        ("0.8 or 0.9", None, None),
        ("", None, None),
        ("٠.٥", None, None),
    ],
)
def test_confidence_readings(text, plain, percent):
    assert read_confidence(text) == plain
    assert read_confidence(text, percent=True) == (None if percent is None else pytest.approx(percent))


@pytest.mark.parametrize(
    ("text", "well_formed"),
    [
        ("<think></think><answer>1</answer><confidence>1</confidence>", True),
        ("\n<think>a\nb</think>\n<answer>1</answer>\n<confidence> 0.5 </confidence>\n", True),
        ("so <think></think><answer>1</answer><confidence>1</confidence>", False),
        ("<think></think> and <answer>1</answer><confidence>1</confidence>", False),
        ("<think></think><answer>1</answer><confidence>1</confidence>!", False),
        ("<answer>1</answer><confidence>1</confidence>", False),
        ("<answer>1</answer><think></think><confidence>1</confidence>", False),
        ("<think></think><answer>1</answer><answer>1</answer><confidence>1</confidence>", False),
        ("<think><answer>1</answer></think><answer>1</answer><confidence>1</confidence>", False),
        ("<think><think></think><answer>1</answer><confidence>1</confidence>", False),
    ],
)
def test_layout(text, well_formed):
    assert is_well_formed(text) is well_formed
    assert parse_completion(text, "stop").well_formed is well_formed
    assert not parse_completion(text, "length").well_formed


def test_an_unreadable_confidence_is_not_well_formed():
    assert not parse_completion("<think></think><answer>1</answer><confidence>60</confidence>", "stop").well_formed


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "<confidence>", "0.5", "</confidence>"]))
)
def test_any_order_of_tags_is_parsed(parts):
    parsed = parse_completion("".join(parts), "stop")
    assert parsed.confidence in (None, 0.5)
    assert parsed.answer is None or "answer>" not in parsed.answer
    assert not parsed.well_formed or parts[0] == "<think>"


@given(st.text())
def test_any_text_is_parsed(text):
    parsed = parse_completion(f"<answer>{text}</answer>", "stop")
    if "<answer>" not in text and "</answer>" not in text:
        assert parsed.answer == (text.strip() or None)


def test_long_hostile_text():
    """A parser that took quadratic time would not come back."""
    text = "<answer>" * 100_000 + "<confidence>" * 100_000 + "9" * 100_000
    assert parse_completion(text, "stop").answer is None
    assert parse_completion(f"<confidence>{'9' * 1_000_000}</confidence>", "stop").confidence is None
