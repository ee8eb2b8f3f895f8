"""Groups by hand: when a group carries no gradient, with both kinds of credit."""

import pytest

from corea.composition import compose
from corea.rl.rollout.credit import confidence_starts, token_advantages
from corea.rl.rollout.groups import make_group
from corea.rl.update.rows import build_rows
from corea.types import Completion, Group, Question, Rollout

QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")


def completion(answer, confidence):
    """Three tokens; the second ends with the tag <confidence>."""
    text = f"<think></think> <answer>{answer}</answer> <confidence>{confidence}</confidence>"
    return Completion(
        text=text,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=3,
        prompt_ids=[7],
        token_ids=[0, 1, 2],
        logprobs=[-1.0] * 3,
    )


def decode_of(made):
    """Decodes the three tokens of a completion made above."""
    head, _, tail = made.text.partition("<confidence>")
    return lambda ids: "".join([head, "<confidence>", tail][k] for k in ids)


def config(*overrides):
    weights = ["reward.correct=1", "reward.format=0", "reward.calib=1", "reward.target=sample", "trainer.loss.kl=0"]
    return compose("train", "logger=none", *weights, *overrides)


def test_parts_that_cancel_are_a_gradient_with_segment_credit():
    """Right with confidence 0 gives 1 - 1, wrong with confidence 0 gives 0 + 0: equal totals, opposite parts."""
    answers = [completion("4", "0"), completion("5", "0")]
    whole = make_group(QUESTION, answers, config())
    segment = make_group(QUESTION, answers, cfg := config("trainer.credit=segment"))
    assert [r.reward for r in whole.rollouts] == [0.0, 0.0]
    assert (whole.degenerate, segment.degenerate) == (True, False)
    decode = decode_of(answers[0])
    assert token_advantages(segment, confidence_starts(segment, decode)) == [[0.5, 0.5, -0.5], [-0.5, -0.5, 0.5]]
    assert len(build_rows([segment], lambda _: 1.0, cfg, decode)) == 2
    assert build_rows([whole], lambda _: 1.0, config(), decode) == []


def test_equal_answers_are_degenerate_with_either_credit():
    for credit in ("whole", "segment"):
        group = make_group(QUESTION, [completion("4", "0.5")] * 3, config(f"trainer.credit={credit}"))
        assert group.degenerate
        starts = confidence_starts(group, decode_of(completion("4", "0.5")))
        assert token_advantages(group, starts) == [[0.0] * 3] * 3


@pytest.mark.parametrize(("advantage", "degenerate"), [(4e-17, True), (-4e-17, True), (1e-6, False)])
def test_rounding_is_no_advantage(advantage, degenerate):
    rollout = make_group(QUESTION, [completion("4", "0.5")] * 2, config()).rollouts[0]
    rollout.advantage = advantage
    assert isinstance(rollout, Rollout)
    assert Group(question=QUESTION, rollouts=[rollout]).degenerate == degenerate
