"""Chains that keep a promise on new questions: exact tests (promises.py) corrected for the choice among chains.

The level alpha is divided. PAIRS of it goes, in equal parts, to the chains of two tiers that end in the reference, the
most accurate tier: their candidates follow the confidences alone, so each is tested on all calibration questions. The
rest goes to one longer chain, which is searched on one half of the calibration questions and tested on the other half
(Pareto testing, arXiv 2210.07913). A path leads from the reference alone to the searched thresholds and beyond; on it
the tiers keep answers in the proportions of the search. It is tested from its safe end until a test fails.

What passes is valid with probability 1 - alpha, whichever of it is chosen afterwards.

Legend: N questions, T tiers, S steps of a path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from corea.cascade.chain_search import search
from corea.cascade.chains import Chain, Stack, answering, chains, deciders, run_chain
from corea.cascade.decision import EVERYTHING
from corea.cascade.promised_threshold import Promise, thresholds_that_hold
from corea.cascade.promises import Kept, passes
from corea.metrics.levels import grouped

PAIRS = 0.7
"""Share of alpha for chains of two tiers."""
STEPS = 40
"""Steps of a path from the reference alone to every answer kept at the tier that keeps most."""


@dataclass(slots=True, kw_only=True)
class Promised:
    """Thresholds that keep the promise, and their cost on the calibration questions."""

    chain: Chain
    thresholds: np.ndarray
    """[k]"""
    cost: float


def promised_chains(
    data: Stack, promise: Promise, reference: int, silent: np.ndarray, grid: list[float], seed: int
) -> list[Promised]:
    """All that is valid at once: of each pair of tiers the boldest threshold, and of one longer chain.

    `reference` is the position of the most accurate tier.
    """
    found = _pairs(data, replace(promise, alpha=promise.alpha * PAIRS), reference, silent, grid)
    if promise.of == "kept_accuracy":
        return found
    first = np.random.default_rng(seed).permutation(len(data)) < len(data) // 2
    rest = replace(promise, alpha=promise.alpha * (1 - PAIRS))
    longer = _longer(data.where(first), data.where(~first), rest, reference, silent, grid)
    return found if longer is None else [*found, longer]


def _pairs(data: Stack, promise: Promise, reference: int, silent: np.ndarray, grid: list[float]) -> list[Promised]:
    """The boldest valid threshold of every chain (tier, reference)."""
    firsts = [t for t in range(reference) if not silent[t]]
    found = []
    for tier in firsts:
        right, cost = data.correct[[tier, reference]], data.cost[[tier, reference]]
        levels = grouped(data.confidence[tier], *right, *cost)
        share = replace(promise, alpha=promise.alpha / len(firsts))
        threshold = float(thresholds_that_hold(levels, levels.observed, share, grid))
        if not np.isnan(threshold):
            chain, thresholds = (tier, reference), np.array([threshold])
            paid = float(run_chain(data, chain, thresholds[None], silent)[1].mean())
            found.append(Promised(chain=chain, thresholds=thresholds, cost=paid))
    return found


def _longer(
    searched: Stack, test: Stack, promise: Promise, reference: int, silent: np.ndarray, grid: list[float]
) -> Promised | None:
    """The best chain of three or more tiers on `searched`, made as bold as `test` allows."""
    if not len(searched) or not len(test):
        return None
    floor = searched.correct[reference].mean() - promise.target - 1e-12
    best: tuple[float, Chain, np.ndarray] | None = None
    for chain in chains(len(searched.tiers), silent):
        if len(chain) > 2 and chain[-1] == reference:
            points = search(searched, chain, silent, grid)
            enough = np.flatnonzero(points.accuracy >= floor)[:1]  # cheapest first
            if len(enough) and (best is None or points.cost[enough[0]] < best[0]):
                best = (float(points.cost[enough[0]]), chain, points.thresholds[enough[0]])
    return None if best is None else _boldest(test, best[1], best[2], promise, reference, silent)


def _boldest(
    test: Stack, chain: Chain, thresholds: np.ndarray, promise: Promise, reference: int, silent: np.ndarray
) -> Promised | None:
    """The boldest valid step of the path to `thresholds` [k]."""
    path = _path(test, chain, thresholds, silent)
    right, cost = run_chain(test, chain, path, silent)
    best = test.correct[reference]
    kept = answering(test, chain, path, silent) < len(chain) - 1
    sums = Kept(
        kept=kept.sum(1),
        lost=(best & ~right).sum(1),
        won=(right & ~best).sum(1),
        right=(kept & right).sum(1),
        questions=len(test),
    )
    valid = np.logical_and.accumulate(passes(sums, promise.of, promise.target, promise.alpha))
    if not valid.any():
        return None
    last = int(np.flatnonzero(valid)[-1])
    return Promised(chain=chain, thresholds=path[last], cost=float(cost[last].mean()))


def _path(data: Stack, chain: Chain, thresholds: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """[S, k] thresholds of the path. It looks at confidences, not at verdicts."""
    stated = [np.sort(c[~np.isnan(c)]) for c in (data.confidence[t] for t in deciders(silent, chain))]
    share = np.array([(c >= t).mean() if len(c) else 0.0 for c, t in zip(stated, thresholds, strict=True)])
    if not share.any():
        return np.full((1, len(thresholds)), EVERYTHING)
    scale = np.arange(1, STEPS + 1)[:, None] / STEPS / share.max()
    return np.stack([_keeping(c, s) for c, s in zip(stated, (scale * share).T, strict=True)], 1)


def _keeping(ascending: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Thresholds that keep at most these shares of the stated confidences."""
    count = np.floor(share * len(ascending) + 1e-9).astype(int)
    ladder = np.concatenate([[EVERYTHING], ascending[::-1]])  # the lowest of the highest `count` confidences
    return np.where(count >= len(ascending), 0.0, ladder[np.minimum(count, len(ascending))])
