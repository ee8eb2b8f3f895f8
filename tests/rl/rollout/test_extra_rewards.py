"""A reward of the user's own, named in the configuration."""

import pytest

from corea.composition import compose
from corea.errors import UserError
from corea.rl.rollout.extra_rewards import load_extras
from corea.rl.rollout.groups import make_group
from corea.rl.run.step_metrics import batch_metrics, columns, joined
from corea.types import Completion, Question

MODULE = """
def brevity(rollouts, limit):
    return [float(r.completion.completion_tokens <= limit) for r in rollouts]

def one_short(rollouts):
    return [0.0] * (len(rollouts) - 1)

def endless(rollouts):
    return [float("nan")] * len(rollouts)
"""
QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")


def completion(text, tokens):
    return Completion(text=text, finish_reason="stop", prompt_tokens=3, completion_tokens=tokens)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def config(*overrides):
    return compose("train", "logger=none", *overrides)


GROUP = [
    completion("<answer>4</answer> <confidence>0.5</confidence>", 3),
    completion("<answer>5</answer> <confidence>0.5</confidence>", 9),
]


def test_it_is_computed_weighted_and_logged(own_module):
    cfg = config("+reward.extra={brevity: {_target_: my_rewards.brevity, weight: 0.25, params: {limit: 5}}}")
    group = make_group(QUESTION, GROUP, cfg, load_extras(cfg.reward))
    assert [r.rewards["brevity"] for r in group.rollouts] == [1.0, 0.0]
    without = make_group(QUESTION, GROUP, config())
    assert [r.reward for r in group.rollouts] == pytest.approx(
        [without.rollouts[0].reward + 0.25, without.rollouts[1].reward]
    )
    assert batch_metrics(joined([columns([group])]))["reward/brevity"] == 0.5


def test_a_weight_of_zero_logs_it_alone(own_module):
    cfg = config("+reward.extra={brevity: {_target_: my_rewards.brevity, weight: 0, params: {limit: 5}}}")
    group = make_group(QUESTION, GROUP, cfg, load_extras(cfg.reward))
    assert [r.reward for r in group.rollouts] == [r.reward for r in make_group(QUESTION, GROUP, config()).rollouts]
    assert group.rollouts[0].rewards["brevity"] == 1.0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_rewards.nope", "reward.extra.own._target_=my_rewards.nope: my_rewards has no function nope"),
        ("no_such_module.f", "reward.extra.own._target_=no_such_module.f: no_such_module cannot be imported"),
        ("my_rewards.one_short", "must return 2 finite numbers, one per rollout; got 1"),
        ("my_rewards.endless", "must return 2 finite numbers, one per rollout; got 2: nan"),
    ],
)
def test_mistakes_are_named(own_module, target, message):
    cfg = config(f"+reward.extra={{own: {{_target_: {target}}}}}")
    with pytest.raises(UserError, match=message):
        make_group(QUESTION, GROUP, cfg, load_extras(cfg.reward))


def test_the_name_of_a_component_is_taken():
    with pytest.raises(UserError, match=r"reward.extra=\['calib'\]: allowed is names other than"):
        config("+reward.extra={calib: {_target_: my_rewards.brevity}}")
