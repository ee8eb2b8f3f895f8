"""Chains of tiers: which models answer a question, and what that yields and costs.

A question starts at the chain's first tier and goes on to its next tier while the tier's confidence is below the tier's
threshold. Every tier that answers is paid. A chain may start at any tier and may leave tiers out; a chain of one tier
is that model alone.

A tier without confidences cannot decide from its own answer. Inside a chain it is routed by the confidence of the
closest earlier tier that states one: below the threshold the question skips the tier and its cost. A chain of two or
more tiers cannot start with such a tier.

Legend: T tiers, N questions, M combinations of thresholds, k = len(chain) - 1 thresholds of a chain.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from corea.answers.pairs import Pairs, cost_unit, pair
from corea.answers.table import Answers, signal_column
from corea.cascade.decision import deferred
from corea.prices import USD

Chain = tuple[int, ...]
"""Positions of tiers in a Stack, ascending."""


@dataclass(slots=True, kw_only=True)
class Stack:
    """N questions answered by T tiers."""

    tiers: list[int]
    """[T] numbers of the tiers in the answers table, ascending."""
    confidence: np.ndarray
    """[T, N]; NaN missing, and everywhere for a tier that states none."""
    correct: np.ndarray
    """[T, N] bool."""
    cost: np.ndarray
    """[T, N] cost of one answer, in the unit of the table."""
    signal_cost: np.ndarray
    """[T, N] cost of an answer with its confidence: all samples where the signal needs them."""

    def __len__(self) -> int:
        return self.correct.shape[1]

    def where(self, mask: np.ndarray) -> Stack:
        """The questions where `mask` [N] holds, or at these positions."""
        names = ("confidence", "correct", "cost", "signal_cost")
        return Stack(tiers=self.tiers, **{name: getattr(self, name)[:, mask] for name in names})

    @property
    def silent(self) -> np.ndarray:
        """[T] bool: the tier states no confidence at all."""
        return np.isnan(self.confidence).all(1)


def stack(answers: Answers, signal: str, dataset: str, large: int | None = None) -> tuple[Stack, Pairs]:
    """Tiers of one dataset side by side, up to tier `large`, and the questions in their order."""
    frame = answers.frame[answers.frame["dataset"] == dataset]
    tiers = sorted(int(t) for t in frame["tier"].unique() if large is None or t <= large)
    questions = pair(replace(answers, frame=frame), signal, large)
    unit = cost_unit(answers)[0]
    confidence, correct, cost, signal_cost = [], [], [], []
    for tier in tiers:
        rows = frame[frame["tier"] == tier]
        first = ~rows.duplicated("question_id").to_numpy()  # rows are sorted by question and sample
        confidence.append(rows[signal_column(signal)].to_numpy(np.float64)[first])
        correct.append(rows["correct"].to_numpy()[first] == 1)
        paid = rows["cost_usd"].fillna(0.0).to_numpy() if unit == USD else np.full(len(rows), float(tier > 0))
        cost.append(paid[first])
        sampled = unit == USD and signal in answers.sampled
        signal_cost.append(np.bincount(np.cumsum(first) - 1, weights=paid) if sampled else cost[-1])
    parts = {"confidence": confidence, "correct": correct, "cost": cost, "signal_cost": signal_cost}
    return Stack(tiers=tiers, **{name: np.stack(values) for name, values in parts.items()}), questions


def joined(parts: Sequence[Stack]) -> Stack:
    """The questions of several datasets with the same tiers, one after another."""
    names = ("confidence", "correct", "cost", "signal_cost")
    return Stack(tiers=parts[0].tiers, **{n: np.concatenate([getattr(p, n) for p in parts], 1) for n in names})


def chains(tiers: int, silent: np.ndarray | None = None) -> list[Chain]:
    """Every chain of `tiers` tiers, short ones first; `silent` [T] marks tiers that cannot start a chain."""
    found = [c for n in range(1, tiers + 1) for c in itertools.combinations(range(tiers), n)]
    return [c for c in found if len(c) == 1 or silent is None or not silent[c[0]]]


def deciders(silent: np.ndarray, chain: Chain) -> list[int]:
    """[k] the tier whose confidence decides at each tier of the chain but the last."""
    found: list[int] = []
    for tier in chain[:-1]:
        found.append(found[-1] if silent[tier] and found else tier)
    return found


def run_chain(data: Stack, chain: Chain, thresholds: np.ndarray, silent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Verdict [M, N] bool and cost [M, N] of every question under thresholds [M, k]. `silent` is [T]."""
    answered = answering(data, chain, thresholds, silent)
    right, cost = np.zeros(answered.shape, bool), np.zeros(answered.shape)
    for i, tier in enumerate(chain):
        here = answered == i
        right |= here & data.correct[tier]
        if i == len(chain) - 1 or silent[tier]:
            cost += here * data.cost[tier]
        else:
            cost += (answered >= i) * data.signal_cost[tier]
    return right, cost


def answering(data: Stack, chain: Chain, thresholds: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """[M, N] position in the chain of the tier whose answer stands, under thresholds [M, k]."""
    position = np.full((len(thresholds), len(data)), len(chain) - 1, np.int8)
    for i, tier in reversed(list(enumerate(deciders(silent, chain)))):
        position[~deferred(data.confidence[tier], thresholds[:, i, None])] = i
    return position
