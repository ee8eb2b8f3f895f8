"""Questions of a step -> rollouts -> parse -> grade -> reward -> advantage.

Everything is a function of (configuration, seed, step), so a resumed run neither repeats nor leaves out a question.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from corea.config import TrainConfig
from corea.rl.advantage import advantages
from corea.rl.batching import Row
from corea.rl.coldstart import training_sources
from corea.rl.credit import token_advantages
from corea.rl.extra import Component, add_extras
from corea.rl.reward import group_rewards, total_reward
from corea.tasks.grading import grade
from corea.tasks.gym import base_seed, mix_questions
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import build_messages, get_prompt
from corea.tasks.splits import SplitReport, training_only
from corea.types import Completion, Group, Message, Question, Rollout, Sampling


class Draw:
    """The training questions of each step."""

    def __init__(self, cfg: TrainConfig):
        self.sources = training_sources(cfg.data)
        self.seed = cfg.seed
        self.size = cfg.trainer.questions
        self.attempts = 1 + cfg.trainer.resample

    def __call__(self, step: int, attempt: int = 0) -> tuple[list[Question], SplitReport]:
        """Questions of step `step` (from 0), and how many were drawn and left out for them.

        A step reads the stream from index step * 2 * questions on: one in eight is held out on average, so it does
        not reach into the next step's part. With trainer.resample it has as many such parts as attempts.
        """
        report = SplitReport()
        start = (step * self.attempts + attempt) * self.size * 2
        stream = mix_questions(self.sources, dataset="", split="train", seed=self.seed, start=start)
        return list(itertools.islice(training_only(stream, report), self.size)), report


def rollout_sampling(cfg: TrainConfig, step: int, rank: int, attempt: int = 0) -> Sampling:
    """How the completions of a step are drawn by one process."""
    place = f"rollout/{step}/{attempt}" if attempt else f"rollout/{step}"
    return Sampling(
        temperature=cfg.trainer.temperature,
        max_tokens=cfg.model.max_tokens,
        n=cfg.trainer.group_size,
        seed=base_seed(cfg.seed, place, str(rank)),
    )


def messages(questions: Sequence[Question], prompt: str) -> list[list[Message]]:
    """Chat messages of each question."""
    return [build_messages(prompt, q) for q in questions]


def make_group(
    question: Question, completions: Sequence[Completion], cfg: TrainConfig, extras: dict[str, Component] | None = None
) -> Group:
    """Parse, grade and reward the completions of one question; `extras` are the user's own components."""
    prompt = get_prompt(cfg.model.prompt)
    parsed = [
        parse_completion(c.text, c.finish_reason, percent=prompt.percent, expect_confidence=prompt.expects_confidence)
        for c in completions
    ]
    correct = [float(grade(question, p)) for p in parsed]
    parts = group_rewards(parsed, correct, cfg.reward)
    rollouts = [
        Rollout(question=question, completion=c, parsed=p, correct=right, rewards=r)
        for c, p, right, r in zip(completions, parsed, correct, parts, strict=True)
    ]
    add_extras(rollouts, extras or {})
    for rollout in rollouts:
        rollout.reward = total_reward(rollout.rewards, cfg.reward)
    for rollout, advantage in zip(
        rollouts, advantages([r.reward for r in rollouts], cfg.trainer.advantage), strict=True
    ):
        rollout.advantage = advantage
    return Group(question=question, rollouts=rollouts)


def in_loss(rollout: Rollout, mask_truncated: bool) -> bool:
    """False for a completion that is left out of the loss and its denominator."""
    cut = mask_truncated and rollout.completion.finish_reason == "length"
    return bool(rollout.completion.token_ids) and not cut


def rows_of(
    groups: Sequence[Group],
    weights: Callable[[Rollout], float],
    cfg: TrainConfig,
    decode: Callable[[Sequence[int]], str],
) -> list[Row]:
    """What the update needs of the groups.

    Groups without any advantage are skipped unless a KL term pulls on them too; the denominator inside `weights` still
    counts them.
    """
    loss = cfg.trainer.loss
    rows = []
    for group in groups:
        by_token = token_advantages(group, cfg.trainer, cfg.reward, decode)
        if loss.kl == 0 and not any(any(row) for row in by_token):
            continue
        rows += [
            Row(
                prompt_ids=r.completion.prompt_ids,
                token_ids=r.completion.token_ids,
                rollout_logprobs=r.completion.logprobs,
                advantages=row,
                weight=weights(r),
            )
            for r, row in zip(group.rollouts, by_token, strict=True)
            if in_loss(r, loss.mask_truncated)
        ]
    return rows
