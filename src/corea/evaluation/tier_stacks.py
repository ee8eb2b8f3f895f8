"""Every tier of a dataset side by side, with the splits of its questions: what chains of tiers are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from corea.answers.table import Answers
from corea.cascade.chain_results import drawn_chains
from corea.cascade.chains import Stack, joined, stack
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.question_sets import POOLED, with_splits


@dataclass(slots=True, kw_only=True)
class TierStack:
    """N questions of one dataset, or of all, answered by every tier."""

    stack: Stack
    split: np.ndarray
    """[N] split of each question."""
    question_id: list[tuple[str, str]]
    """[N] dataset and question."""

    def of(self, split: str) -> Stack:
        """The questions of one split."""
        return self.stack.where(self.split == split)

    def chain(
        self, tiers: Sequence[int], thresholds: Sequence[float], reference: int, cfg: CascadeConfig
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Figures of a chain on the test questions, and their draws [R]; tiers by their numbers.

        Changes are against the tier `reference` alone. Raises ValueError for a tier that is not there.
        """
        chain, alone = tuple(map(self.stack.tiers.index, tiers)), (self.stack.tiers.index(reference),)
        rows = [(chain, np.asarray(thresholds, np.float64)), (alone, np.zeros(0))]
        values, draws = drawn_chains(self.of(cfg.test_split), rows, self.of(cfg.calibration_split).silent, cfg)
        return {name: float(v[0]) for name, v in values.items()}, {name: d[:, 0] for name, d in draws.items()}


def tier_stacks(answers: Answers, names: Sequence[str], cfg: CascadeConfig) -> dict[str, TierStack]:
    """Each of the datasets `names` that has more than two tiers, and all of them together if all have the same tiers.

    The confidence is the raw signal. Questions that the splits leave out are left out.
    """
    found: dict[str, TierStack] = {}
    for name in names:
        data, questions = stack(answers, cfg.signal, name, cfg.large)
        if len(data.tiers) > 2:
            ids = questions.question_id
            divided = with_splits(questions, cfg, answers, [])  # may leave questions out
            found[name] = TierStack(
                stack=data.where(np.isin(ids, divided.question_id)),
                split=divided.split,
                question_id=[(name, str(key)) for key in divided.question_id],
            )
    if len(found) == len(names) > 1 and len({tuple(part.stack.tiers) for part in found.values()}) == 1:
        parts = list(found.values())
        found[POOLED] = TierStack(
            stack=joined([part.stack for part in parts]),
            split=np.concatenate([part.split for part in parts]),
            question_id=[key for part in parts for key in part.question_id],
        )
    return found
