"""The mean of a stated confidence, by hand."""

from __future__ import annotations

import pytest

from corea.tasks.expectation import expected_confidence


def test_one_token_is_exact() -> None:
    tail = [
        ["<confidence>", 1.0, []],
        ["0.8", 0.5, [["0.6", 0.3], ["0.1", 0.1], ["often", 0.1]]],
        ["</confidence>", 1.0, []],
    ]
    # "often" is no confidence: (0.5 * 0.8 + 0.3 * 0.6 + 0.1 * 0.1) / 0.9
    assert expected_confidence(tail) == pytest.approx(0.59 / 0.9)


def test_digit_by_digit() -> None:
    tail = [
        ["</answer><confidence>", 1.0, []],
        ["0", 0.9, [["1", 0.1]]],  # "1.85" is no confidence, "1" is
        [".", 1.0, []],
        ["8", 0.6, [["7", 0.4]]],  # "0.75"
        ["5", 0.5, [["9", 0.3], ["</", 0.2]]],  # "0.89", "0.8"
        ["</", 0.8, [["2", 0.2]]],  # "0.852"
        ["confidence>", 1.0, []],
    ]
    path = 0.9 * 0.6
    expected = 0.1 * 1 + 0.9 * 0.4 * 0.75 + path * (0.3 * 0.89 + 0.2 * 0.8 + 0.5 * (0.2 * 0.852 + 0.8 * 0.85))
    assert expected_confidence(tail) == pytest.approx(expected)


def test_in_percent() -> None:
    tail = [["<confidence>", 1.0, []], ["80", 0.5, [["60", 0.5]]], ["%", 1.0, []], ["</confidence>", 1.0, []]]
    assert expected_confidence(tail, percent=True) == pytest.approx(0.7)
    assert expected_confidence(tail) is None


def test_the_last_readable_tag_counts() -> None:
    tail = [
        ["<confidence>", 1.0, []],
        ["0.2", 0.5, [["0.9", 0.5]]],
        ["</confidence>", 1.0, []],
        ["<confidence>", 1.0, []],
        ["0.4", 0.75, [["0.8", 0.25]]],
        ["</confidence>", 1.0, []],
        ["<confidence>sure</confidence>", 1.0, []],
    ]
    assert expected_confidence(tail) == pytest.approx(0.5)


def test_nothing_stated_is_missing() -> None:
    assert expected_confidence([["<answer>3</answer>", 1.0, []]]) is None
    assert expected_confidence([["<confidence>", 1.0, []], ["0.5", 1.0, []]]) is None
