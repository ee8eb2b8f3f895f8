"""Search for the thresholds of one chain: its frontier of accuracy over cost on the calibration questions.

Candidates of a tier are quantiles of its confidences and never look at verdicts. A first grid holds every combination of
them, as many a tier as CELLS combinations allow, and is summed from a table of counts. From the best points of the
grid, coordinate descent moves one threshold at a time over up to FINE candidates, with sums over sorted confidences, until
nothing improves.

Legend: N questions, k thresholds, L candidates of a tier, P points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from corea.cascade.chains import Chain, Stack, deciders
from corea.cascade.sweep import EVERYTHING
from corea.metrics.cascade_curve import pareto

CELLS = 65_536
"""Combinations in the first grid of a chain."""
FINE = 256
"""Candidates of a tier in coordinate descent; of more distinct confidences, quantiles."""
STARTS = 12
"""Points of the frontier that coordinate descent goes on from."""
ROUNDS = 3
"""Most passes of coordinate descent over all thresholds."""
SHARPNESS = 1e-12
"""Accuracies that differ by less are equal."""


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


def ladder(confidence: np.ndarray, most: int) -> Ladder:
    """At most `most` candidates: all distinct confidences where they are few, else quantiles, and both ends."""
    stated = confidence[~np.isnan(confidence)]
    values = np.unique(stated)
    if len(values) > most - 2:
        values = np.unique(np.quantile(stated, np.linspace(0, 1, max(most - 2, 1)), method="lower"))
    thresholds = np.unique([0.0, *values[:most], EVERYTHING])
    level = np.searchsorted(thresholds, confidence, side="right")
    return Ladder(thresholds=thresholds, level=np.where(np.isnan(confidence), 0, level))


def search(data: Stack, chain: Chain, silent: np.ndarray) -> ChainPoints:
    """The calibration frontier of one chain. `silent` is [T]: tiers without confidences."""
    if len(chain) == 1:
        tier = chain[0]
        accuracy, cost = data.correct[tier].mean(), data.cost[tier].mean()
        return ChainPoints(
            chain=chain, thresholds=np.zeros((1, 0)), accuracy=np.array([accuracy]), cost=np.array([cost])
        )
    confidence = [data.confidence[tier] for tier in deciders(silent, chain)]
    coarse = int(CELLS ** (1 / len(confidence)) + 1e-9)
    ladders = [ladder(c, min(coarse, FINE + 2)) for c in confidence]
    found = _frontier(_grid(data, chain, silent, ladders))
    if any(len(np.unique(c[~np.isnan(c)])) > len(steps.thresholds) for c, steps in zip(confidence, ladders, strict=True)):
        found = _descend(data, chain, silent, found, [ladder(c, FINE) for c in confidence])
    return found


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
    shape = tuple(len(steps.thresholds) for steps in ladders)
    cell = np.zeros(len(weights), np.int64)
    for steps in ladders:
        cell = cell * len(steps.thresholds) + steps.level
    sums = np.bincount(cell, weights=weights, minlength=int(np.prod(shape))).reshape(shape)
    for axis in range(len(shape)):
        sums = np.cumsum(sums, axis)
    return sums


def _paid(weights: np.ndarray, ladders: list[Ladder], i: int) -> np.ndarray:
    """The sum over the questions that come to tier i, in a shape that broadcasts over all thresholds."""
    sums = _reaching(weights, ladders[:i]) if i else np.asarray(weights.sum())
    return sums.reshape(*sums.shape, *[1] * (len(ladders) - i))


def _kept(weights: np.ndarray, ladders: list[Ladder], i: int) -> np.ndarray:
    """The same over the questions whose answer tier i keeps."""
    passed = _reaching(weights, ladders[: i + 1])
    kept = _paid(weights, ladders[: i + 1], i) - passed
    return kept.reshape(*kept.shape, *[1] * (len(ladders) - i - 1))


def _descend(
    data: Stack, chain: Chain, silent: np.ndarray, start: ChainPoints, ladders: list[Ladder]
) -> ChainPoints:
    """Move one threshold at a time, from several points of the frontier at once, until nothing improves."""
    best = start
    tried: set[tuple[float, ...]] = set()
    for _ in range(ROUNDS):
        rows = np.unique(np.linspace(0, len(best) - 1, STARTS).round().astype(int))
        fresh = [row for row in best.thresholds[rows] if tuple(row) not in tried]
        if not fresh:
            break
        tried |= {tuple(row) for row in fresh}
        lines = [line for row in fresh for line in _lines(data, chain, silent, row, ladders)]
        best = _frontier(_joined([best, *lines]))
    return best


def _joined(parts: list[ChainPoints]) -> ChainPoints:
    names = ("thresholds", "accuracy", "cost")
    return ChainPoints(chain=parts[0].chain, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _lines(
    data: Stack, chain: Chain, silent: np.ndarray, thresholds: np.ndarray, ladders: list[Ladder]
) -> list[ChainPoints]:
    """For each threshold: the points where it takes each of its candidates and the others stay as in `thresholds` [k].

    Walks the chain forwards for what is settled before a tier and backwards for what happens behind it.
    """
    n, k = len(data), len(thresholds)
    passed = [data.confidence[t] for t in deciders(silent, chain)]
    on = [~(c >= t) for c, t in zip(passed, thresholds, strict=True)]
    behind = [(data.correct[chain[-1]].astype(np.float64), data.cost[chain[-1]])]  # verdict and cost behind tier i
    for i in reversed(range(1, k)):
        tier = chain[i]
        right, cost = behind[0]
        own = (0.0, data.cost[tier]) if silent[tier] else (data.signal_cost[tier], data.signal_cost[tier])
        behind.insert(0, (np.where(on[i], right, data.correct[tier]), np.where(on[i], cost + own[0], own[1])))
    found = []
    going = np.ones(n, bool)
    settled_right = settled_cost = 0.0
    for i in range(k):
        tier, (right, cost) = chain[i], behind[i]
        on_cost, kept_cost = (0.0, data.cost[tier]) if silent[tier] else (data.signal_cost[tier],) * 2
        level, candidates = ladders[i].level[going], ladders[i].thresholds
        kept = np.stack([data.correct[tier][going].astype(np.float64), (kept_cost + np.zeros(n))[going]])
        gone = np.stack([right[going], (cost + on_cost)[going]])
        gain = [np.cumsum(np.bincount(level, weights=w, minlength=len(candidates))) for w in gone - kept]
        all_thresholds = np.tile(thresholds, (len(candidates), 1))
        all_thresholds[:, i] = candidates
        found.append(
            _frontier(
                ChainPoints(
                    chain=chain,
                    thresholds=all_thresholds,
                    accuracy=(settled_right + kept[0].sum() + gain[0]) / n,
                    cost=(settled_cost + kept[1].sum() + gain[1]) / n,
                )
            )
        )
        stops = going & ~on[i]
        settled_right += data.correct[tier][stops].sum()
        settled_cost += (kept_cost + np.zeros(n))[stops].sum() + (on_cost + np.zeros(n))[going & on[i]].sum()
        going &= on[i]
    return found
