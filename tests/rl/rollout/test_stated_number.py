"""trainer.credit=expected: the numbers that could have been stated, their rewards, and the gradient they give."""

from dataclasses import replace

import pytest
import torch
from deepspeed.utils import safe_get_full_grad

from corea.composition import compose
from corea.errors import UserError
from corea.rl.rollout.credit import confidence_starts, token_advantages
from corea.rl.rollout.groups import make_group
from corea.rl.rollout.sampler import Sampler
from corea.rl.rollout.stated_number import NumberTokens
from corea.rl.update.batching import micro_batches
from corea.rl.update.policy import Policy
from corea.rl.update.rows import build_rows
from corea.types import Completion, Question
from rl_models import NUMBER_IDS, add_expected_rewards, random_llama, random_rows, state_numbers, trainer_config

QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")
PIECES = ["<think>", "</think><answer>", "4", "5", "</answer><confidence>", "</confidence>", "0", "1", ".", "8", "0.85"]


class Pieces:
    """A tokenizer whose tokens are PIECES."""

    def __len__(self):
        return len(PIECES)

    def decode(self, ids):
        return "".join(PIECES[k] for k in ids)


def completion(answer, *number):
    tokens = [PIECES.index(piece) for piece in ("<think>", "</think><answer>", answer, "</answer><confidence>")]
    tokens += [PIECES.index(piece) for piece in (*number, "</confidence>")]
    size = len(tokens)
    return Completion(
        text=Pieces().decode(tokens),
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=size,
        prompt_ids=[7],
        token_ids=tokens,
        logprobs=[-1.0] * size,
    )


def group_of(completions, *overrides):
    weights = ["reward.correct=1", "reward.format=0", "reward.calib=2", "reward.distance=l2", "reward.target=sample"]
    cfg = compose("train", "logger=none", "trainer.credit=expected", "trainer.loss.kl=0", *weights, *overrides)
    return make_group(QUESTION, completions, cfg), cfg


def choices_of(group, cfg):
    starts = confidence_starts(group, Pieces().decode)
    numbers = NumberTokens(Pieces(), cfg.reward, percent=False)
    return numbers, starts, numbers.choices(group, starts)


def test_gains_by_hand():
    """The answer is right: a number v in place of a token gains 2 * (1 - (v - 1)^2) over the worst reward."""
    group, cfg = group_of([completion("4", "0", ".", "8")])
    numbers, starts, [choices] = choices_of(group, cfg)
    assert [PIECES[k] for k in numbers.ids] == ["4", "5", "0", "1", ".", "8", "0.85"]
    assert starts == [4]
    assert [c.place for c in choices] == [4, 5, 6]
    first, point, last = (dict(zip(numbers.texts.values(), c.gains, strict=True)) for c in choices)
    # In place of "0": "4.8" and "4" are no confidences, "1.8" is none but "1" is, ".": "..8" is none.
    assert first == {"4": 0, "5": 0, "0": 2 * (1 - 0.2**2), "1": 2.0, ".": 0, "8": 0, "0.85": 2 * (1 - 0.15**2)}
    # In place of ".": "048" and "04" are above 1, "01" is read as 1, "008" and "00" are 8 and 0, "00.858" is read.
    assert {k: v for k, v in point.items() if v} == {
        ".": 2 * (1 - 0.2**2),
        "1": 2.0,
        "0.85": 2 * (1 - (1 - 0.858) ** 2),
    }
    assert last == pytest.approx(
        {k: 2 * (1 - (v - 1) ** 2) for k, v in {"4": 0.4, "5": 0.5, "0": 0.0, "1": 0.1, "8": 0.8, ".": 0.0}.items()}
        | {"0.85": 0.0}
    )


def test_the_group_target_of_a_wrong_answer():
    group, cfg = group_of([completion("4", "0.85"), completion("5", "0.85")], "reward.target=group")
    numbers, _, choices = choices_of(group, cfg)
    assert choices[0] == choices[1]
    gains = dict(zip(numbers.texts.values(), choices[0][0].gains, strict=True))
    assert gains["0.85"] == pytest.approx(2 * (1 - 0.35**2))
    assert gains["1"] == gains["0"] == pytest.approx(2 * (1 - 0.5**2))


def test_the_number_gets_no_advantage_and_the_tag_after_it_that_of_the_answer():
    group, cfg = group_of([completion("4", "0", ".", "8"), completion("5", "1")])
    _, starts, choices = choices_of(group, cfg)
    assert token_advantages(group, starts, choices) == [[0.5] * 4 + [0.0] * 3 + [0.5], [-0.5] * 4 + [0.0] + [-0.5]]


def test_an_unreadable_number_has_no_choices():
    group, cfg = group_of([completion("4", "8", ".", "8"), completion("4")])
    assert choices_of(group, cfg)[2] == [[], []]


def test_equal_answers_still_teach_the_confidence():
    """All advantages are 0, but the number 0.85 is not the best one for right answers."""
    group, cfg = group_of([completion("4", "0.85")] * 2)
    numbers, _, _ = choices_of(group, cfg)
    rows = build_rows([group], lambda _: 1.0, cfg, Pieces().decode, numbers)
    assert [row.advantages for row in rows] == [[0.0] * 6] * 2
    assert [len(row.choices) for row in rows] == [1, 1]


@pytest.mark.parametrize(("count", "expected"), [("true", None), ("false", 4)])
def test_the_kl_term_may_end_before_the_confidence(count, expected):
    group, cfg = group_of([completion("4", "0.85"), completion("5", "0.85")], f"trainer.loss.kl_confidence={count}")
    rows = build_rows([group], lambda _: 1.0, cfg, Pieces().decode, choices_of(group, cfg)[0])
    assert [row.kl_tokens for row in rows] == [expected] * 2
    counted = micro_batches(rows, 1000, pad=0)[0].kl_counted
    assert (counted if expected is None else counted.tolist()) == (expected and [1.0, 1.0, 1.0, 1.0, 0.0, 0.0] * 2)


def test_the_kl_term_ends_before_the_confidence_only_where_credit_tells_it_apart():
    with pytest.raises(UserError, match=r"trainer.loss.kl_confidence=false: allowed is true with trainer.credit=whole"):
        compose("train", "trainer.credit=whole", "trainer.loss.kl_confidence=false")


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        ([], True),
        (["trainer.credit=whole"], False),
        (["reward.calib=0"], False),  # every number has the same reward
        (["trainer.loss.mask_truncated=true"], True),
    ],
)
def test_resampling_keeps_a_group_only_if_its_confidences_have_a_gradient(overrides, kept):
    group, cfg = group_of([completion("4", "0.85")] * 2, *overrides)
    assert group.degenerate
    assert Sampler(cfg, None, None, None)._states_numbers(group) == kept
    choices = choices_of(group, cfg)[2]
    assert any(any(choice.gains) for row in choices for choice in row) == kept


def test_a_truncated_completion_that_is_left_out_of_the_loss_keeps_no_group():
    cut = replace(completion("4", "0.85"), finish_reason="length")
    group, cfg = group_of([cut] * 2, "trainer.loss.mask_truncated=true", "reward.gate_calib=false")
    assert not Sampler(cfg, None, None, None)._states_numbers(group)


def test_the_gradient_is_that_of_the_expected_reward_over_all_tokens():
    temperature, plain = 0.7, random_llama()
    rows = state_numbers(random_rows(groups=3, size=2))
    policy = Policy(random_llama(), trainer_config(temperature=temperature), pad=0, number_ids=NUMBER_IDS)
    batches = micro_batches(rows, 32, pad=0)
    assert len(batches) > 1
    loss = sum(policy._accumulate(batch)["loss"] for batch in batches)
    assert loss == pytest.approx(add_expected_rewards(plain, rows, temperature), rel=1e-4)
    for mine, other in zip(policy.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(safe_get_full_grad(mine), other.grad, rtol=1e-4, atol=1e-6)
