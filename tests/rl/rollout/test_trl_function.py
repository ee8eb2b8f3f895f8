"""Reward functions written for TRL, as components of corea's reward."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from corea.errors import UserError
from corea.rl.rollout.trl_function import from_trl
from corea.types import Completion, Parsed, Question, Rollout, Status
from corea.user_code import load_file

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
GROUP = [("<answer>4</answer>", 3), ("5", 2)]
"""Text and number of tokens of each completion."""


def rollouts(asked: str) -> list[Rollout]:
    question = Question(id="a", dataset="d", source="s", split="train", text=asked, gold="4")
    return [
        Rollout(
            question=question,
            completion=Completion(
                text=text, finish_reason="stop", prompt_tokens=3, completion_tokens=n, token_ids=list(range(n))
            ),
            parsed=Parsed(answer=None, confidence=None, status=Status.UNPARSED_ANSWER, well_formed=False),
            correct=0.0,
        )
        for text, n in GROUP
    ]


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "for_trl.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)


def component(name: str, asked: str = "2 + 2 =", **params: float) -> list[float]:
    key = "reward.extra.own._target_=for_trl.py:" + name
    values = from_trl(key, load_file("for_trl.py").__dict__[name], "confidence")(rollouts(asked), **params)
    return asyncio.run(awaited(values)) if inspect.isawaitable(values) else values


async def awaited(values) -> list[float]:
    return await values


def test_it_gets_what_it_asks_for():
    assert component("short") == [0.0, 1.0]
    assert component("agrees") == [1.0, 0.0]
    assert component("later", scale=2) == [6.0, 4.0]


def test_none_counts_as_nothing():
    assert component("agrees", asked="is it 4?") == [0.0, 0.0]


def test_a_column_that_corea_does_not_have_is_named():
    message = (
        "reward.extra.own._target_=for_trl.py:of_the_data_set: asks for difficulty, which is neither in params nor"
    )
    with pytest.raises(UserError, match=message):
        component("of_the_data_set")
