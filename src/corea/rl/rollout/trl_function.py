"""Reward functions in TRL's form as components of the reward: f(prompts, completions, **columns) -> numbers.

TRL (GRPOTrainer) calls a reward function with all prompts and completions as chat messages and with the columns of the
data set, each a list with one entry per completion; None means that the function does not apply.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from corea.errors import UserError
from corea.tasks.prompts import build_messages
from corea.types import Rollout

GOLD = ("gold", "answer", "solution", "ground_truth", "target")
"""Names under which a function may ask for the gold answer: no data set of corea has other columns."""
UNUSED: dict[str, Any] = {"log_extra": None, "log_metric": None, "trainer_state": None, "environments": None}
"""Arguments of TRL's trainer that corea does not have."""


def is_trl_function(function: Callable[..., Any]) -> bool:
    """Whether a function has TRL's signature: it takes `completions`, by which TRL passes them."""
    try:
        return "completions" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable without a signature
        return False


def from_trl(key: str, function: Callable[..., Any], prompt: str) -> Callable[..., Any]:
    """A component f(rollouts, **params) that calls a TRL function; None counts as 0, as in TRL's sum.
    An asynchronous function gives a component whose result must be awaited.

    Args:
        key: configuration key that names the function, for messages.
        prompt: name of the prompt that asks the questions.
    """
    parameters = inspect.signature(function).parameters
    whole = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

    def component(rollouts: Sequence[Rollout], **params: Any) -> list[float] | Awaitable[list[float]]:
        given = {**_columns(rollouts, prompt), **params}
        lacking = [
            n for n, p in parameters.items() if p.default is p.empty and p.kind not in VARIADIC and n not in given
        ]
        if lacking:
            allowed = ", ".join(sorted(given))
            raise UserError(f"{key}: asks for {lacking[0]}, which is neither in params nor one of {allowed}")
        values = function(**{name: value for name, value in given.items() if whole or name in parameters})
        return _awaited(values) if inspect.isawaitable(values) else _zeros_for_none(values)

    return component


VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


async def _awaited(values: Any) -> list[float]:
    return _zeros_for_none(await values)


def _zeros_for_none(values: Any) -> list[float]:
    return [0.0 if value is None else value for value in values]


def _columns(rollouts: Sequence[Rollout], prompt: str) -> dict[str, Any]:
    """What TRL would pass: lists with one entry per rollout, and corea's own columns."""
    golds = [r.question.gold for r in rollouts]
    return {
        "prompts": [build_messages(prompt, r.question) for r in rollouts],
        "completions": [[{"role": "assistant", "content": r.completion.text}] for r in rollouts],
        "completion_ids": [r.completion.token_ids for r in rollouts],
        **dict.fromkeys(GOLD, golds),
        "question": [r.question.text for r in rollouts],
        "dataset": [r.question.dataset for r in rollouts],
        "source": [r.question.source for r in rollouts],
        **UNUSED,
    }
