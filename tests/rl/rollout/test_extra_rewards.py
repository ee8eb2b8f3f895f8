"""A reward of the user's own, named in the configuration."""

from dataclasses import replace

import pytest

from corea.composition import compose
from corea.config import RewardConfig
from corea.config.reward_schema import ExtraRewardConfig
from corea.errors import UserError
from corea.rl.rollout.extra_rewards import ExtraRewards
from corea.rl.rollout.groups import make_group, make_groups
from corea.rl.run.step_metrics import batch_metrics, columns, joined
from corea.types import Completion, Question

MODULE = """
import asyncio, os, time

waiting = set()

def brevity(rollouts, limit):
    return [float(r.completion.completion_tokens <= limit) for r in rollouts]

def one_short(rollouts):
    return [0.0] * (len(rollouts) - 1)

def endless(rollouts):
    return [float("nan")] * len(rollouts)

def fails(rollouts):
    return [rollouts[0].no_such_field]

def sleeps_on_b(rollouts):
    if rollouts[0].question.id == "b":
        time.sleep(600)
    return [1.0] * len(rollouts)

def sleeps(rollouts):
    time.sleep(600)

def ends_once(rollouts):
    if not os.path.exists("ended"):
        open("ended", "w").close()
        os._exit(3)
    return [2.0] * len(rollouts)

def ends(rollouts):
    os._exit(3)

async def waits(rollouts):
    waiting.add(rollouts[0].question.id)
    while len(waiting) < 3:  # until all three questions have been begun
        await asyncio.sleep(0.001)
    return [float(len(rollouts))] * len(rollouts)
"""
QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")


def completion(text, tokens):
    return Completion(text=text, finish_reason="stop", prompt_tokens=3, completion_tokens=tokens)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


def config(*overrides):
    return compose("train", "logger=none", *overrides)


def with_extras(cfg):
    extras = ExtraRewards(cfg.reward)
    try:
        return make_group(QUESTION, GROUP, cfg, extras)
    finally:
        extras.close()


PLAIN = config()
GROUP = [
    completion("<answer>4</answer> <confidence>0.5</confidence>", 3),
    completion("<answer>5</answer> <confidence>0.5</confidence>", 9),
]


def test_it_is_computed_weighted_and_logged(own_module):
    cfg = config("+reward.extra={brevity: {_target_: my_rewards.brevity, weight: 0.25, params: {limit: 5}}}")
    group = with_extras(cfg)
    assert [r.rewards["brevity"] for r in group.rollouts] == [1.0, 0.0]
    without = make_group(QUESTION, GROUP, config())
    assert [r.reward for r in group.rollouts] == pytest.approx(
        [without.rollouts[0].reward + 0.25, without.rollouts[1].reward]
    )
    assert batch_metrics(joined([columns([group])]))["reward/brevity"] == 0.5


def test_a_weight_of_zero_logs_it_alone(own_module):
    cfg = config("+reward.extra={brevity: {_target_: my_rewards.brevity, weight: 0, params: {limit: 5}}}")
    group = with_extras(cfg)
    assert [r.reward for r in group.rollouts] == [r.reward for r in make_group(QUESTION, GROUP, config()).rollouts]
    assert group.rollouts[0].rewards["brevity"] == 1.0


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_rewards.nope", "reward.extra.own._target_=my_rewards.nope: my_rewards has no function nope"),
        ("no_such_module.f", "reward.extra.own._target_=no_such_module.f: no_such_module cannot be imported"),
        ("my_rewards.one_short", "must return 2 finite numbers, one per rollout; got 1"),
        ("my_rewards.endless", "must return 2 finite numbers, one per rollout; got 2: nan"),
        ("my_rewards.fails", r"reward.extra.own=my_rewards.fails: raised AttributeError: 'Rollout' object has no"),
        ("my_rewards.ends", r"reward.extra.own=my_rewards.ends: its process ended twice \(exit code 3\)"),
    ],
)
def test_mistakes_are_named(own_module, target, message):
    cfg = config(f"+reward.extra={{own: {{_target_: {target}}}}}")
    with pytest.raises(UserError, match=message):
        with_extras(cfg)


def test_the_name_of_a_component_is_taken():
    with pytest.raises(UserError, match=r"reward.extra=\[calib\]: allowed is names other than"):
        config("+reward.extra={calib: {_target_: my_rewards.brevity}}")


def values_of(target, timeout_s=60.0):
    """(numbers of questions a, b and c, timeouts) of a function without parameters."""
    extra = ExtraRewardConfig(_target_=f"my_rewards:{target}", timeout_s=timeout_s)
    extras = ExtraRewards(RewardConfig(name="r", extra={"own": extra}))
    questions = [replace(QUESTION, id=name) for name in "abc"]
    try:
        groups = make_groups(questions, [GROUP] * 3, PLAIN, extras)
        return [[r.rewards["own"] for r in group.rollouts] for group in groups], extras.timeouts
    finally:
        extras.close()


def test_a_function_that_hangs_on_a_question_gives_it_nothing_and_is_counted(own_module):
    assert values_of("sleeps_on_b", timeout_s=0.5) == ([[1, 1], [0, 0], [1, 1]], 1)


def test_a_function_that_always_hangs_stops_the_run(own_module):
    line = "reward.extra.own=my_rewards:sleeps: no result within timeout_s=0.05 for 3 questions in a row"
    with pytest.raises(UserError, match=line):
        values_of("sleeps", timeout_s=0.05)


def test_a_process_that_ends_once_is_started_again(own_module):
    assert values_of("ends_once") == ([[2, 2]] * 3, 0)


def test_an_asynchronous_function_works_on_all_questions_at_once(own_module):
    assert values_of("waits") == ([[2, 2]] * 3, 0)
