"""Search for the thresholds of one chain: its frontier of accuracy over cost on the calibration questions.

Candidates of a tier are quantiles of its confidences and never look at verdicts. A first grid holds every combination
of them, with as many per tier as CELLS combinations allow; it is summed from a table of counts. Coordinate descent
starts from the best points of the grid and moves one threshold at a time over up to FINE candidates until nothing
improves.

Legend: N questions, k thresholds, L candidates of a tier, P points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corea.cascade.chains import Chain, Stack, deciders
from corea.cascade.decision import EVERYTHING, deferred
from corea.metrics.cascade_curve import pareto

CELLS = 65_536
"""Combinations in the first grid of a chain."""
FINE = 256
"""Candidates of a tier in coordinate descent; of more distinct confidences, quantiles."""
STARTS = 12
"""Points of the frontier that coordinate descent goes on from."""
ROUNDS = 3
"""Most passes of coordinate descent over all thresholds."""


@dataclass(slots=True, kw_only=True)
class ChainPoints:
    """P choices of thresholds of one chain, cheapest first, and what they yield on the calibration questions."""

    chain: Chain
    thresholds: np.ndarray
    """[P, k]"""
    accuracy: np.ndarray
    """[P]"""
    cost: np.ndarray
    """[P] mean of a question."""

    def __len__(self) -> int:
        return len(self.cost)

    def at(self, rows: np.ndarray) -> ChainPoints:
        """Some of the points."""
        parts = {name: getattr(self, name)[rows] for name in ("thresholds", "accuracy", "cost")}
        return ChainPoints(chain=self.chain, **parts)


@dataclass(slots=True, kw_only=True)
class Ladder:
    """Candidate thresholds of one tier."""

    thresholds: np.ndarray
    """[L] ascending, from 0 (keep every stated confidence) to EVERYTHING (keep none)."""
    level: np.ndarray
    """[N] how many thresholds a question's confidence reaches; 0 where it is missing. Threshold j keeps levels > j."""


def ladder(confidence: np.ndarray, most: int, grid: list[float] | None = None) -> Ladder:
    """At most `most` candidates: all distinct confidences where they are few, else quantiles, and both ends; or `grid`.

    The lowest confidence is no candidate, since 0 keeps the same questions.
    """
    stated = confidence[~np.isnan(confidence)]
    values = np.unique(stated)[1:]
    if len(values) > most - 2:
        share = np.linspace(0, 1, most - 1)[1:] if most > 2 else np.array([])
        values = np.unique(np.quantile(stated, share, method="lower"))
    thresholds = np.unique(grid) if grid else np.unique([0.0, *values, EVERYTHING])
    level = np.searchsorted(thresholds, confidence, side="right")
    return Ladder(thresholds=thresholds, level=np.where(np.isnan(confidence), 0, level))


def search(data: Stack, chain: Chain, silent: np.ndarray, grid: list[float] | None = None) -> ChainPoints:
    """The calibration frontier of one chain.

    Args:
        data: calibration questions.
        chain: positions of its tiers in `data`.
        silent: [T] tiers without confidences.
        grid: the only candidates of every tier; None or empty: quantiles.
    """
    if len(chain) == 1:
        tier = chain[0]
        accuracy, cost = data.correct[tier].mean(), data.cost[tier].mean()
        return ChainPoints(
            chain=chain, thresholds=np.zeros((1, 0)), accuracy=np.array([accuracy]), cost=np.array([cost])
        )
    confidence = [data.confidence[tier] for tier in deciders(silent, chain)]
    coarse = int(CELLS ** (1 / len(confidence)) + 1e-9)
    ladders = [ladder(c, min(coarse, FINE), grid) for c in confidence]
    finer = [ladder(c, FINE, grid) for c in confidence]
    while np.prod([float(len(steps.thresholds)) for steps in ladders]) > CELLS:  # a long grid of the user
        ladders = [_halved(steps) for steps in ladders]
    found = _frontier(_grid(data, chain, silent, ladders))
    if any(len(some.thresholds) < len(all_.thresholds) for some, all_ in zip(ladders, finer, strict=True)):
        found = _descend(data, chain, silent, found, finer)
    return found


def _halved(steps: Ladder) -> Ladder:
    """Every other candidate; the highest one stays."""
    thresholds = steps.thresholds[::-1][::2][::-1]
    kept = np.searchsorted(thresholds, steps.thresholds, side="right")  # candidates kept up to each
    return Ladder(thresholds=thresholds, level=np.concatenate([[0], kept])[steps.level])


def _frontier(points: ChainPoints) -> ChainPoints:
    """The points that no other beats, cheapest first."""
    kept = np.flatnonzero(pareto(points.cost, points.accuracy))
    kept = kept[np.lexsort((points.accuracy[kept], points.cost[kept]))]
    _, first = np.unique(points.cost[kept], return_index=True)  # equal ones: the first combination
    return points.at(kept[first])


def _grid(data: Stack, chain: Chain, silent: np.ndarray, ladders: list[Ladder]) -> ChainPoints:
    """Every combination of the candidates, from sums over the cells that they cut the questions into."""
    shape = tuple(len(steps.thresholds) for steps in ladders)
    right, cost = np.zeros(shape), np.zeros(shape)
    for i, tier in enumerate(chain):
        last = i == len(ladders)
        if last:
            right += _reaching(data.correct[tier], ladders)
            cost += _reaching(data.cost[tier], ladders)
        else:
            right += _kept(data.correct[tier], ladders, i)
            paid = _kept(data.cost[tier], ladders, i) if silent[tier] else _paid(data.signal_cost[tier], ladders, i)
            cost += paid
    index = np.stack(np.unravel_index(np.arange(right.size), shape), 1)
    thresholds = np.stack([steps.thresholds[index[:, i]] for i, steps in enumerate(ladders)], 1)
    n = len(data)
    return ChainPoints(chain=chain, thresholds=thresholds, accuracy=right.ravel() / n, cost=cost.ravel() / n)


def _reaching(weights: np.ndarray, ladders: list[Ladder]) -> np.ndarray:
    """[L1, ..., Lj] sum of `weights` [N] over the questions that all of these ladders pass on."""
    shape = tuple(len(steps.thresholds) + 1 for steps in ladders)  # the last level is kept by every threshold
    cell = np.ravel_multi_index(tuple(steps.level for steps in ladders), shape)
    sums = np.bincount(cell, weights=weights, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        sums = np.cumsum(sums, axis)
    return sums[(slice(-1),) * len(shape)]


def _paid(weights: np.ndarray, ladders: list[Ladder], i: int) -> np.ndarray:
    """The sum over the questions that come to tier i, in a shape that broadcasts over all thresholds."""
    sums = _reaching(weights, ladders[:i]) if i else np.asarray(weights.sum())
    return sums.reshape(*sums.shape, *[1] * (len(ladders) - i))


def _kept(weights: np.ndarray, ladders: list[Ladder], i: int) -> np.ndarray:
    """The same over the questions whose answer tier i keeps."""
    passed = _reaching(weights, ladders[: i + 1])
    kept = _paid(weights, ladders[: i + 1], i) - passed
    return kept.reshape(*kept.shape, *[1] * (len(ladders) - i - 1))


def _descend(data: Stack, chain: Chain, silent: np.ndarray, start: ChainPoints, ladders: list[Ladder]) -> ChainPoints:
    """Move one threshold at a time, from several points of the frontier at once, until nothing improves."""
    best = start
    tried: set[bytes] = set()
    for _ in range(ROUNDS):
        rows = np.unique(np.linspace(0, len(best) - 1, STARTS).round().astype(int))
        fresh = [row for row in best.thresholds[rows] if row.tobytes() not in tried]
        if not fresh:
            break
        tried |= {row.tobytes() for row in fresh}
        lines = [line for row in fresh for line in _lines(data, chain, silent, row, ladders)]
        best = _frontier(_joined([best, *lines]))
    return best


def _joined(parts: list[ChainPoints]) -> ChainPoints:
    names = ("thresholds", "accuracy", "cost")
    return ChainPoints(chain=parts[0].chain, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _lines(
    data: Stack, chain: Chain, silent: np.ndarray, thresholds: np.ndarray, ladders: list[Ladder]
) -> list[ChainPoints]:
    """For each threshold: the points where it takes each of its candidates and the others stay as they are."""
    deciding = [data.confidence[t] for t in deciders(silent, chain)]
    on = [deferred(c, t) for c, t in zip(deciding, thresholds, strict=True)]
    kept, passed = _costs(data, chain, silent)
    right_behind, cost_behind = _behind(data, chain, on, kept, passed)
    found = []
    going = np.ones(len(data), bool)
    settled_right = settled_cost = 0.0
    for i, tier in enumerate(chain[:-1]):
        right, candidates = data.correct[tier].astype(np.float64), ladders[i].thresholds
        level = ladders[i].level[going]
        gain_right, gain_cost = (
            np.cumsum(np.bincount(level, weights=(behind - own)[going], minlength=len(candidates)))[: len(candidates)]
            for behind, own in ((right_behind[i], right), (passed[i] + cost_behind[i], kept[i]))
        )
        line = np.tile(thresholds, (len(candidates), 1))
        line[:, i] = candidates
        accuracy = (settled_right + right[going].sum() + gain_right) / len(data)
        cost = (settled_cost + kept[i][going].sum() + gain_cost) / len(data)
        found.append(_frontier(ChainPoints(chain=chain, thresholds=line, accuracy=accuracy, cost=cost)))
        stops, going = going & ~on[i], going & on[i]
        settled_right += right[stops].sum()
        settled_cost += kept[i][stops].sum() + passed[i][going].sum()
    return found


def _costs(data: Stack, chain: Chain, silent: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What a question that comes to a tier pays there, [N] per tier but the last: if it stays, and if it goes on."""
    kept = [data.cost[t] if silent[t] else data.signal_cost[t] for t in chain[:-1]]
    passed = [np.zeros(len(data)) if silent[t] else data.signal_cost[t] for t in chain[:-1]]
    return kept, passed


def _behind(
    data: Stack, chain: Chain, on: list[np.ndarray], kept: list[np.ndarray], passed: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Verdict and cost that a question meets behind each tier but the last, [N] each."""
    right, cost = [data.correct[chain[-1]].astype(np.float64)], [data.cost[chain[-1]]]
    for i in reversed(range(1, len(on))):
        right.insert(0, np.where(on[i], right[0], data.correct[chain[i]]))
        cost.insert(0, np.where(on[i], passed[i] + cost[0], kept[i]))
    return right, cost
