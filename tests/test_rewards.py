"""corea's reward as TRL reward functions: values by hand, groups, and mistakes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from corea.errors import UserError
from corea.rewards import component_rewards, confidence_prompt, total_reward


def said(answer: str, confidence: str) -> str:
    return f"<think>…</think> <answer>{answer}</answer> <confidence>{confidence}</confidence>"


ASKED = ["2 + 2 ="] * 4 + ["3 + 4 ="] * 2
ANSWERS = [said("4", "0.9"), said("4", "0.5"), said("5", "0.5"), "4", said("8", "0.25"), said("9", "0")]
GOLD = ["4"] * 4 + ["7"] * 2


def chat(texts: list[str], role: str) -> list[list[dict[str, str]]]:
    return [[{"role": role, "content": text}] for text in texts]


def test_the_components_by_hand():
    correctness, well_formed, calibration = component_rewards(grader="numeric")
    assert [f.__name__ for f in (correctness, well_formed, calibration)] == [
        "correctness",
        "well_formed",
        "calibration",
    ]
    prompts, completions = chat(ASKED, "user"), chat(ANSWERS, "assistant")
    call = {"prompts": prompts, "completions": completions, "completion_ids": [[1]] * 6, "solution": GOLD}
    assert correctness(**call) == [1, 1, 0, 0, 0, 0]
    assert well_formed(**call) == [1, 1, 1, 0, 1, 1]
    # pass rates 2/4 and 0; a missing confidence gets the worst value
    assert calibration(**call) == pytest.approx([-0.4, 0, 0, -1, -0.25, 0])


def test_the_total_is_the_weighted_sum_and_logs_the_components():
    logged = {}
    reward = total_reward(gold="answer", grader="numeric", calib=0.5, distance="l2")
    values = reward(ASKED, ANSWERS, answer=GOLD, log_metric=logged.__setitem__, trainer_state=None)
    expected = [1 + 0.1 - 0.5 * 0.16, 1.1, 0.1, -0.5, 0.1 - 0.5 * 0.0625, 0.1]
    assert values == pytest.approx(expected)
    assert logged == pytest.approx(
        {"corea/correctness": 2 / 6, "corea/well_formed": 5 / 6, "corea/calibration": -(0.16 + 1 + 0.0625) / 6}
    )


def test_the_own_verdict_as_target_needs_no_group():
    (*_, calibration) = component_rewards(grader="numeric", target="sample", distance="l2")
    assert calibration(["2 + 2 ="], [said("4", "0.9")], solution=["4"]) == pytest.approx([-0.01])


def test_the_start_that_the_chat_template_writes_counts():
    rest = "…</think> <answer>4</answer> <confidence>1</confidence>"
    wanted = {"prompts": ["2 + 2 ="] * 2, "completions": [rest] * 2, "solution": ["4"] * 2}
    _, well_formed, _ = component_rewards(grader="numeric")
    assert well_formed(**wanted) == [0, 0]
    _, well_formed, _ = component_rewards(grader="numeric", prefix="<think>")
    assert well_formed(**wanted) == [1, 1]


def test_a_prompt_drawn_twice_in_a_row_is_two_groups():
    texts = [said("4", "1")] * 2 + [said("5", "0")] * 2
    call = {"prompts": ["2 + 2 ="] * 4, "completions": texts, "solution": ["4"] * 4}
    (*_, calibration) = component_rewards(grader="numeric", group_size=2)
    assert calibration(**call) == [0, 0, 0, 0]
    (*_, calibration) = component_rewards(grader="numeric")
    assert calibration(**call) == [-0.5, -0.5, -0.5, -0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gold": "label"}, "gold=label: the data set has no such column; its columns are solution"),
        ({"group_size": 4}, "target=group needs 4 completions of a prompt in one call, got 2"),
        ({}, "target=group needs two completions or more of a prompt in one call, got 1"),
    ],
)
def test_mistakes_are_named(options, message):
    reward = total_reward(**options)
    prompts = ["a"] * 6 if "group_size" in options else ["a", "a", "b"]
    with pytest.raises(UserError, match=message):
        reward(prompts, ["x"] * len(prompts), solution=["1"] * len(prompts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grader": "sympy"}, "grader=sympy: allowed is exact, numeric, choice, math, reasoning_gym"),
        ({"distance": "l3"}, "reward.distance=l3: allowed is"),
        ({"calib": -1.0}, "reward.calib=-1.0: allowed is a weight >= 0"),
    ],
)
def test_values_that_are_not_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        total_reward(**options)


def test_an_improper_reward_warns(caplog):
    total_reward(target="sample")
    assert "not a proper scoring rule" in caplog.text


def test_prompts_ask_for_the_confidence():
    system, user = confidence_prompt("2 + 2 =")
    assert "<confidence>" in system["content"]
    assert user == {"role": "user", "content": "2 + 2 ="}


def test_the_module_loads_no_training_library():
    code = (
        "import sys, corea.rewards; print([m for m in ('torch', 'trl', 'transformers', 'hydra') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
