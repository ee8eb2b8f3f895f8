"""Questions of a step -> rollouts -> parse -> grade -> reward -> advantage.

Everything is a function of (configuration, seed, step), so a resumed run neither repeats nor leaves out a question.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from corea.config import TrainConfig
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.credit import token_advantages
from corea.rl.rollout.extra_rewards import Component, add_extras
from corea.rl.rollout.reward import group_rewards, total_reward
from corea.rl.update.batching import Row
from corea.tasks.grading import grade_many
from corea.tasks.mixes import TrainingStream
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import build_messages, get_prompt
from corea.tasks.seeds import base_seed
from corea.tasks.splits import SplitReport
from corea.types import Completion, Group, Message, Parsed, Question, Rollout, Sampling, Verdict

log = logging.getLogger(__name__)


class Draw:
    """The training questions of each step."""

    def __init__(self, cfg: TrainConfig):
        self.stream = TrainingStream(cfg.data, split="train", seed=cfg.seed, size=cfg.trainer.questions)
        for screening in self.stream.screenings:
            log.info("%s", screening)
        self.attempts = 1 + cfg.trainer.resample

    def __call__(self, step: int, attempt: int = 0) -> tuple[list[Question], SplitReport]:
        """Questions of step `step` (from 0), and how many were drawn and left out for them.

        With trainer.resample a step has as many parts of the stream as attempts.
        """
        return self.stream(step * self.attempts + attempt)


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


def judge(
    questions: Sequence[Question], completions: Sequence[Sequence[Completion]], cfg: TrainConfig
) -> list[list[tuple[Parsed, Verdict]]]:
    """Parse and grade the completions of each question; all of them are graded side by side."""
    prompt = get_prompt(cfg.model.prompt)
    percent, expected = prompt.percent, prompt.expects_confidence
    parsed = [
        [parse_completion(c.text, c.finish_reason, percent=percent, expect_confidence=expected) for c in group]
        for group in completions
    ]
    asked = [q for q, group in zip(questions, parsed, strict=True) for _ in group]
    verdicts = iter(grade_many(asked, [p for group in parsed for p in group]))
    return [[(p, next(verdicts)) for p in group] for group in parsed]


def make_groups(
    questions: Sequence[Question],
    completions: Sequence[Sequence[Completion]],
    cfg: TrainConfig,
    extras: dict[str, Component] | None = None,
) -> list[Group]:
    """Parse, grade and reward the completions of each question."""
    judged = judge(questions, completions, cfg)
    return [make_group(q, c, cfg, extras, j) for q, c, j in zip(questions, completions, judged, strict=True)]


def make_group(
    question: Question,
    completions: Sequence[Completion],
    cfg: TrainConfig,
    extras: dict[str, Component] | None = None,
    judged: Sequence[tuple[Parsed, Verdict]] | None = None,
) -> Group:
    """Reward the completions of one question; those that `judge` has not seen are parsed and graded first.

    `extras` are the user's own components.
    """
    judged = judged or judge([question], [completions], cfg)[0]
    parsed = [p for p, _ in judged]
    correct = [float(bool(v.correct)) for _, v in judged]
    parts = group_rewards(parsed, correct, cfg.reward)
    rollouts = [
        Rollout(question=question, completion=c, parsed=p, outcome=v.outcome, correct=right, rewards=r)
        for c, (p, v), right, r in zip(completions, judged, correct, parts, strict=True)
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
