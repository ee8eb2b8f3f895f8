"""corea's reward for TRL: reward functions in the form that TRL's GRPOTrainer calls.

    from corea.rewards import total_reward
    trainer = GRPOTrainer(model=..., reward_funcs=total_reward(gold="solution"), args=..., train_dataset=...)

`total_reward` gives r = correct + format + calib with corea's weights as one number, and logs the components;
`component_rewards` gives the three apart, to be weighted by `GRPOConfig.reward_weights`. Completions are parsed and
graded as in corea.train (corea.rl.rollout.reward has the formulas). This module imports neither torch nor TRL.

With a group target the confidence is compared with the share of right answers among all completions of the prompt, so
they must arrive in one call: on each process, a whole number of groups per generation batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from corea.config import RewardConfig
from corea.config.allowed_names import GRADER
from corea.config.checks import require
from corea.errors import UserError
from corea.rl.rollout.reward import group_rewards, reward_warnings
from corea.rl.rollout.reward import total_reward as weighted_total
from corea.tasks.grading import grade_many
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import build_messages
from corea.types import Message, Question

log = logging.getLogger(__name__)

__all__ = ["RewardFunction", "component_rewards", "confidence_prompt", "total_reward"]

RewardFunction = Callable[..., list[float]]
"""f(prompts, completions, **columns) -> one number per completion. Prompts and completions are texts, or lists of chat
messages."""
COMPONENTS = {"correct": "correctness", "format": "well_formed", "calib": "calibration"}
"""Component of the reward -> name of its function in TRL's log."""


def total_reward(
    *,
    gold: str = "solution",
    grader: str = "math",
    correct: float = 1.0,
    format: float = 0.1,
    calib: float = 1.0,
    distance: str = "l1",
    target: str = "group",
    gate_calib: bool = True,
    percent: bool = False,
    prefix: str = "",
    group_size: int | None = None,
) -> RewardFunction:
    """The weighted sum as one TRL reward function; its defaults are those of `reward=corea` of corea.train.

    Args:
        gold: column of the data set with the reference answers.
        grader: math, numeric, choice, exact, or your own module:function.
        correct, format, calib: weights; 0 for `calib` is reinforcement learning from correctness alone (RLVR).
        distance, target, gate_calib: as the keys of the same names below `reward` of corea.train.
        percent: the prompt asks for the confidence in percent.
        prefix: start of the completion that the chat template puts into the prompt, e.g. "<think>".
        group_size: `num_generations`; if given, every group must have that size.

    Raises:
        ValueError: a value that is not allowed.
    """
    cfg = RewardConfig(
        name="trl",
        correct=correct,
        format=format,
        calib=calib,
        distance=distance,
        target=target,
        gate_calib=gate_calib,
    )
    scorer = _Scorer(cfg, gold, grader, percent, prefix, group_size)

    def corea_reward(prompts: Sequence, completions: Sequence, log_metric: Any = None, **columns: Any) -> list[float]:
        parts = scorer.parts(prompts, completions, columns)
        if log_metric is not None:
            for name, function in COMPONENTS.items():
                log_metric(f"corea/{function}", sum(row[name] for row in parts) / len(parts))
        return [weighted_total(row, cfg) for row in parts]

    return corea_reward


def component_rewards(
    *,
    gold: str = "solution",
    grader: str = "math",
    distance: str = "l1",
    target: str = "group",
    gate_calib: bool = True,
    percent: bool = False,
    prefix: str = "",
    group_size: int | None = None,
) -> list[RewardFunction]:
    """The unweighted components [correctness, well_formed, calibration] as three TRL reward functions.

    Arguments as in `total_reward`; the weights go into `GRPOConfig(reward_weights=[1.0, 0.1, 1.0])`. Answers are
    graded once for all three.
    """
    cfg = RewardConfig(name="trl", distance=distance, target=target, gate_calib=gate_calib)
    scorer = _Scorer(cfg, gold, grader, percent, prefix, group_size)

    def component(name: str) -> RewardFunction:
        def reward(prompts: Sequence, completions: Sequence, **columns: Any) -> list[float]:
            return [row[name] for row in scorer.parts(prompts, completions, columns)]

        reward.__name__ = COMPONENTS[name]  # TRL logs it under this name
        return reward

    return [component(name) for name in COMPONENTS]


def confidence_prompt(question: str, prompt: str = "confidence") -> list[Message]:
    """Chat messages that ask a question and for the confidence, for the column `prompt` of a TRL data set.

    `prompt` is a name of corea.tasks.prompts, or your own module:name.
    """
    return build_messages(prompt, _question(question, "", "exact"))


class _Scorer:
    """Parses, grades and rewards the completions of one call; keeps the last call's result for the other components."""

    def __init__(
        self, cfg: RewardConfig, gold: str, grader: str, percent: bool, prefix: str, group_size: int | None
    ) -> None:
        require(GRADER.accepts(grader), "grader", grader, GRADER.words)
        self.cfg, self.gold, self.grader, self.percent, self.prefix = cfg, gold, grader, percent, prefix
        self.group_size = group_size
        self.last: tuple[Any, list[dict[str, float]]] | None = None
        for line in reward_warnings(cfg, group_size):
            log.warning("%s", line)

    def parts(self, prompts: Sequence, completions: Sequence, columns: dict[str, Any]) -> list[dict[str, float]]:
        """[N] {"correct", "format", "calib"} of the completions, in order."""
        if self.gold not in columns:
            found = ", ".join(sorted(k for k, v in columns.items() if isinstance(v, list))) or "no further ones"
            raise UserError(f"gold={self.gold}: the data set has no such column; its columns are {found}")
        asked = [_text(p) for p in prompts]
        texts = [self.prefix + _text(c) for c in completions]
        golds = [str(g) for g in columns[self.gold]]
        key = (asked, texts, golds)
        if self.last is None or self.last[0] != key:
            self.last = (key, self._scored(*key))
        return self.last[1]

    def _scored(self, asked: list[str], texts: list[str], golds: list[str]) -> list[dict[str, float]]:
        parsed = [parse_completion(text, "stop", percent=self.percent) for text in texts]
        questions = [_question(q, g, self.grader) for q, g in zip(asked, golds, strict=True)]
        correct = [float(bool(v.correct)) for v in grade_many(questions, parsed)]
        rows: list[dict[str, float]] = []
        for size in self._group_sizes(asked):
            group = slice(len(rows), len(rows) + size)
            rows += group_rewards(parsed[group], correct[group], self.cfg)
        return rows

    def _group_sizes(self, asked: list[str]) -> list[int]:
        """Sizes of the groups: runs of the same prompt, cut to `group_size`.

        Raises:
            UserError: a group is incomplete, so that its share of right answers would be that of a part.
        """
        runs = [len(list(same)) for _, same in groupby(asked)]
        if self.group_size is not None:  # one prompt may be drawn twice in a row
            runs = [
                n for run in runs for n in [self.group_size] * (run // self.group_size) + [run % self.group_size] if n
            ]
        least = self.group_size or (1 if self.cfg.target == "sample" else 2)
        if self.cfg.target != "sample" and min(runs) < least:
            wanted = f"{self.group_size} completions" if self.group_size else "two completions or more"
            raise UserError(
                f"target={self.cfg.target} needs {wanted} of a prompt in one call, got {min(runs)}: make "
                "per_device_train_batch_size * steps_per_generation a multiple of num_generations"
            )
        return runs


def _text(value: str | Sequence[Message]) -> str:
    """A text as it is; of chat messages the content of the last one."""
    return value if isinstance(value, str) else str(value[-1]["content"])


def _question(text: str, gold: str, grader: str) -> Question:
    return Question(id=text, dataset="trl", source="trl", split="train", text=text, gold=gold, grader=grader)
