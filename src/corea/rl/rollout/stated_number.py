"""The confidences that a completion could have stated instead, for trainer.credit=expected.

The policy gradient of the tokens of a confidence needs no sample: with p(v) the distribution at such a token, given the
tokens before it, and r(v) the calibration reward of the number with v in its place, it is the gradient of

    sum over v of p(v) * (r(v) - worst reward),

where only tokens v that make a readable number count; every other token has the worst reward (the all-action or
expected policy gradient, arXiv 1706.05374 and 1709.00503). A token in the middle of a number keeps the rest of the
written text, as in the expected confidence (tasks/expectation.py): exact for numbers of one token.

Legend: K tokens of the vocabulary that numbers consist of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from corea.config import RewardConfig, TrainConfig
from corea.rl.rollout.reward import distance, targets, worst_distance
from corea.tasks.expectation import replaced_confidence
from corea.tasks.parsing import read_confidence
from corea.tasks.prompts import get_prompt
from corea.types import Group, Rollout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NUMBER = re.compile("[0-9.]{1,5}")
Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Choice:
    """One token of a stated confidence."""

    place: int
    """Its index in the completion."""
    gains: tuple[float, ...]
    """[K] weighted calibration reward with each token in its place, minus the worst one."""


def number_tokens(cfg: TrainConfig, tokenizer: PreTrainedTokenizerBase) -> NumberTokens | None:
    """What trainer.credit=expected needs; None for other choices."""
    if cfg.trainer.credit != "expected":
        return None
    return NumberTokens(tokenizer, cfg.reward, get_prompt(cfg.model.prompt).percent)


class NumberTokens:
    """The tokens of a vocabulary that consist of digits and points.

    Args:
        reward: weight, target and distance of the calibration term.
        percent: the prompt asks for a confidence in percent.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, reward: RewardConfig, percent: bool):
        texts = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
        self.texts = {token: text for token, text in texts.items() if NUMBER.fullmatch(text)}
        self.ids = list(self.texts)
        self.reward, self.percent = reward, percent
        self.gains = lru_cache(maxsize=4096)(self._gains)

    def choices(self, group: Group, starts: Sequence[int | None]) -> list[list[Choice]]:
        """[G] the tokens of the stated confidences; none where the number is not readable token by token, or where the
        reward does not count it (reward.gate_calib).

        Args:
            starts: [G] index of the first token after the tag <confidence>; None without a tag.
        """
        wanted = targets([r.correct for r in group.rollouts], self.reward.target)
        return [self._of(r, s, t) for r, s, t in zip(group.rollouts, starts, wanted, strict=True)]

    def _of(self, rollout: Rollout, start: int | None, target: float) -> list[Choice]:
        counts = rollout.parsed.well_formed or not self.reward.gate_calib
        if start is None or rollout.parsed.confidence is None or not counts or self.reward.calib == 0:
            return []
        pieces = []
        for token in rollout.completion.token_ids[start:]:
            if token not in self.texts:
                break
            pieces.append(self.texts[token])
        if read_confidence("".join(pieces), self.percent) != rollout.parsed.confidence:
            return []
        return [
            Choice(start + k, self.gains("".join(pieces[:k]), "".join(pieces[k + 1 :]), target))
            for k in range(len(pieces))
        ]

    def _gains(self, before: str, after: str, target: float) -> tuple[float, ...]:
        values = [replaced_confidence(before, text, after, self.percent) for text in self.texts.values()]
        kind, eps = self.reward.distance, self.reward.eps
        worst = worst_distance(kind, eps)
        return tuple(
            0.0 if value is None else self.reward.calib * (worst - distance(value, target, kind, eps))
            for value in values
        )
