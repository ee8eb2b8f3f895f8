"""Figures of a step by hand."""

import math

import pytest

from corea.rl.run.step_metrics import batch_metrics, columns, joined
from corea.types import Completion, Group, Parsed, Question, Rollout, Status


def question(name):
    return Question(id=name, dataset="d", source="s", split="train", text="2+2", gold="4")


def rollout(q, correct, confidence, advantage, finish="stop"):
    status = Status.OK if confidence is not None else Status.UNPARSED_CONFIDENCE
    formed = float(confidence is not None)
    return Rollout(
        question=q,
        completion=Completion(text="", finish_reason=finish, prompt_tokens=3, completion_tokens=5),
        parsed=Parsed(answer="4", confidence=confidence, status=status, well_formed=bool(formed)),
        correct=correct,
        rewards={"correct": correct, "format": formed, "calib": -0.5},
        reward=correct + 0.1 * formed - 0.5,
        advantage=advantage,
    )


def groups():
    a, b = question("a"), question("b")
    first = Group(question=a, rollouts=[rollout(a, 1.0, 1.0, 0.5), rollout(a, 0.0, 0.0, -0.5)])
    second = Group(question=b, rollouts=[rollout(b, 1.0, 1.0, 0.0), rollout(b, 1.0, None, 0.0, "length")])
    return [first, second]


def test_by_hand():
    metrics = batch_metrics(joined([columns(groups()[:1]), columns(groups()[1:])]))
    assert metrics["pass@1"] == 0.75
    assert metrics["reward/correct"] == 0.75
    assert metrics["reward/calib"] == -0.5
    assert metrics["reward"] == pytest.approx(0.75 + 0.1 * 0.75 - 0.5)
    assert metrics["format_share"] == 0.75
    assert metrics["missing_confidence_share"] == 0.25
    assert metrics["truncated_share"] == 0.25
    assert metrics["degenerate_share"] == 0.5
    assert metrics["pass_rate/std"] == 0.25  # pass rates 0.5 and 1
    assert metrics["confidence/mean"] == pytest.approx(2 / 3)  # 1, 0, 1
    assert metrics["confidence/std"] == pytest.approx(math.sqrt(2 / 9))
    assert metrics["confidence/distinct"] == 2
    assert metrics["confidence/top_share"] == metrics["confidence/share_1"] == pytest.approx(2 / 3)
    assert metrics["confidence/share_0"] == pytest.approx(1 / 3)
    assert metrics["ece"] == 0.0  # 1 is right both times, 0 is wrong
    assert metrics["auroc"] == 1.0
