"""Completions -> parse -> grade -> reward -> advantage: everything about the rollouts of one question that needs no
model."""

from __future__ import annotations

from collections.abc import Sequence

from corea.config import TrainConfig
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.credit import assign_segment_advantages
from corea.rl.rollout.extra_rewards import ExtraRewards
from corea.rl.rollout.reward import group_rewards, total_reward
from corea.tasks.grading import grade_many
from corea.tasks.parsing import parse_completion
from corea.tasks.prompts import get_prompt
from corea.types import Completion, Group, Parsed, Question, Rollout, Verdict


def make_groups(
    questions: Sequence[Question],
    completions: Sequence[Sequence[Completion]],
    cfg: TrainConfig,
    extras: ExtraRewards | None = None,
) -> list[Group]:
    """Parse, grade and reward the completions of each question.

    Args:
        questions: [P]
        completions: [P][G]
        extras: the user's own reward components.
    """
    graded = parse_and_grade(questions, completions, cfg)
    rollouts = [rewarded(q, c, g, cfg) for q, c, g in zip(questions, completions, graded, strict=True)]
    if extras is not None:
        extras.add(rollouts)
    return [finish_group(q, r, cfg) for q, r in zip(questions, rollouts, strict=True)]


def parse_and_grade(
    questions: Sequence[Question], completions: Sequence[Sequence[Completion]], cfg: TrainConfig
) -> list[list[tuple[Parsed, Verdict]]]:
    """[P][G] parsed completions with their verdicts. All answers are graded in one call, in parallel."""
    prompt = get_prompt(cfg.model.prompt)
    percent, expected = prompt.percent, prompt.expects_confidence
    parsed = [
        [parse_completion(c.text, c.finish_reason, percent=percent, expect_confidence=expected) for c in group]
        for group in completions
    ]
    repeated = [q for q, group in zip(questions, parsed, strict=True) for _ in group]
    verdicts = iter(grade_many(repeated, [p for group in parsed for p in group]))
    return [[(p, next(verdicts)) for p in group] for group in parsed]


def make_group(
    question: Question,
    completions: Sequence[Completion],
    cfg: TrainConfig,
    extras: ExtraRewards | None = None,
) -> Group:
    """As `make_groups`, for the [G] completions of one question."""
    return make_groups([question], [completions], cfg, extras)[0]


def rewarded(
    question: Question, completions: Sequence[Completion], graded: Sequence[tuple[Parsed, Verdict]], cfg: TrainConfig
) -> list[Rollout]:
    """[G] rollouts of one question with corea's own reward components."""
    parsed = [p for p, _ in graded]
    correct = [float(bool(v.correct)) for _, v in graded]
    components = group_rewards(parsed, correct, cfg.reward)
    return [
        Rollout(question=question, completion=c, parsed=p, outcome=v.outcome, correct=right, rewards=r)
        for c, (p, v), right, r in zip(completions, graded, correct, components, strict=True)
    ]


def finish_group(question: Question, rollouts: list[Rollout], cfg: TrainConfig) -> Group:
    """The group of [G] rollouts whose components are complete, with total rewards and advantages."""
    for rollout in rollouts:
        rollout.reward = total_reward(rollout.rewards, cfg.reward)
    for rollout, advantage in zip(
        rollouts, advantages([r.reward for r in rollouts], cfg.trainer.advantage), strict=True
    ):
        rollout.advantage = advantage
    assign_segment_advantages(rollouts, cfg.trainer, cfg.reward)
    return Group(question=question, rollouts=rollouts)
