"""Reward functions written for TRL, as components of corea's reward."""

from __future__ import annotations

import pytest

from corea.composition import compose
from corea.errors import UserError
from corea.rl.rollout.extra_rewards import load_extras
from corea.rl.rollout.groups import make_group
from corea.types import Completion, Question

MODULE = """
def short(completions, **kwargs):
    return [1.0 if len(c[0]["content"]) < 12 else 0.0 for c in completions]

def agrees(prompts, completions, answer):
    return [None if a in p[-1]["content"] else float(a in c[0]["content"])
            for p, c, a in zip(prompts, completions, answer)]

async def later(completion_ids, completions, scale=1.0, **kwargs):
    return [scale * len(ids) for ids in completion_ids]

def of_the_data_set(completions, difficulty):
    return difficulty
"""
QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")
GROUP = [
    Completion(text=t, finish_reason="stop", prompt_tokens=3, completion_tokens=n, token_ids=list(range(n)))
    for t, n in (("<answer>4</answer>", 3), ("5", 2))
]


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "for_trl.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def component(name: str, params: str = "") -> list[float]:
    extra = f"+reward.extra={{own: {{_target_: 'for_trl.py:{name}', weight: 0.5{params}}}}}"
    cfg = compose("train", "logger=none", extra)
    return [r.rewards["own"] for r in make_group(QUESTION, GROUP, cfg, load_extras(cfg.reward, "confidence")).rollouts]


def test_it_gets_what_it_asks_for():
    assert component("short") == [0.0, 1.0]
    assert component("agrees") == [1.0, 0.0]
    assert component("later", ", params: {scale: 2}") == [6.0, 4.0]


def test_none_counts_as_nothing():
    QUESTION_WITH_ANSWER = Question(id="a", dataset="d", source="s", split="train", text="is it 4?", gold="4")
    cfg = compose("train", "logger=none", "+reward.extra={own: {_target_: 'for_trl.py:agrees'}}")
    group = make_group(QUESTION_WITH_ANSWER, GROUP, cfg, load_extras(cfg.reward))
    assert [r.rewards["own"] for r in group.rollouts] == [0.0, 0.0]


def test_a_column_that_corea_does_not_have_is_named():
    message = (
        "reward.extra.own._target_=for_trl.py:of_the_data_set: asks for difficulty, which is neither in params nor"
    )
    with pytest.raises(UserError, match=message):
        component("of_the_data_set")
