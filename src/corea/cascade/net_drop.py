"""Exact test of the net accuracy drop of a cascade.

A kept question is lost (+1: the LLM alone is right), won (-1: the SLM alone is right) or neither (0). The drop of n
questions has mean p - q, p and q the chances of +1 and -1. The hypothesis is p - q >= delta; it is rejected where the
signed root of the likelihood ratio is at most -critical. The critical value is the least one whose size, the largest
chance of rejection over all (p, q) with p - q = delta, is at most alpha: an unconditional exact test (Barnard's, with
the statistic of Chan and Zhang, Biometrics 1999). It depends on (n, delta, alpha) alone, so that testing thousands of
thresholds and resamples costs one formula each.

If no question is won, a binomial test of the lost ones must reject as well. Otherwise the single outcome "nothing lost,
nothing won" would raise the critical value of all others. Beyond EXACT questions the inner sum of the size runs
over NODES points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betainc, betainccinv, ndtri, xlogy

from corea.metrics.distributions import binomial_cdf, binomial_pmf, binomial_ppf

Array = np.ndarray
EXACT, NODES = 5_000, 161
TAIL = 1e-7
"""Probability beyond the sum."""
NUISANCE = 160
"""Values of q that are tried."""


def signed_root(lost: Array | float, won: Array | float, questions: Array | int, delta: float) -> Array:
    """Signed root of the likelihood ratio of p - q = delta: negative where fewer are lost. Shapes broadcast.

    Counts may be fractions (planning).
    """
    lost, won = np.asarray(lost, np.float64), np.asarray(won, np.float64)
    tie = questions - lost - won
    b = (lost + won) * (1 - delta) - 2 * delta * (questions - lost)
    q = (b + np.sqrt(b**2 + 8 * questions * won * delta * (1 - delta))) / (
        4 * questions
    )  # most likely q if p = q + delta
    q = np.clip(q, 0, (1 - delta) / 2)

    def likelihood(p: Array, q: Array) -> Array:
        return xlogy(lost, p) + xlogy(won, q) + xlogy(tie, np.maximum(1 - p - q, 0))

    best = likelihood(lost / questions, won / questions)
    ratio = np.maximum(2 * (best - likelihood(q + delta, q)), 0)
    return np.sign((lost - won) / questions - delta) * np.sqrt(ratio)


@lru_cache(maxsize=4096)
def critical(questions: int, delta: float, alpha: float) -> float:
    """The hypothesis is rejected where signed_root <= -critical; inf where no outcome may reject it."""
    if not 0 < delta < 1 or questions < 1:
        return float("inf")
    plan = _plan(questions, delta, alpha)
    low, high = -float(ndtri(alpha)) - 0.4, -float(ndtri(alpha)) + 3.0
    if _size(plan, high) > alpha:
        return float("inf")
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if _size(plan, middle) <= alpha else (middle, high)
    return high


def size(questions: int, delta: float, alpha: float, nuisance: Array) -> float:
    """Largest chance over the values `nuisance` of q that the test rejects where p = q + delta."""
    return _size(_plan(questions, delta, alpha, nuisance), critical(questions, delta, alpha))


@dataclass(slots=True, kw_only=True)
class _Plan:
    """What the size needs, whatever the critical value. F terms of all sums one after another, W numbers of won."""

    questions: int
    delta: float
    least_lost: int
    """Without a won question, more lost ones than this never reject."""
    won: Array
    """[W] distinct numbers of won questions."""
    index: Array
    """[F] of `won`."""
    mass: Array
    """[F] probability of that number, given q."""
    chance: Array
    """[F] chance that a question that is not won is lost."""
    start: Array
    """First term of each q."""


def _plan(questions: int, delta: float, alpha: float, nuisance: Array | None = None) -> _Plan:
    if nuisance is None:
        nuisance = np.concatenate([[0.0], np.geomspace(0.05 / questions, (1 - delta) / 2, NUISANCE)])
    first, last = (binomial_ppf(end, questions, nuisance).astype(np.int64) for end in (TAIL, 1 - TAIL))
    first = np.maximum(first, 0)
    every = [_spread(a, b, questions > EXACT) for a, b in zip(first, last, strict=True)]
    terms = np.array([len(e) for e in every])
    won, q = np.concatenate(every), np.repeat(nuisance, terms)
    mass = binomial_pmf(won, questions, q)
    start = np.cumsum(terms) - terms
    mass /= np.repeat(np.add.reduceat(mass, start), terms)
    distinct, index = np.unique(won, return_inverse=True)
    return _Plan(
        questions=questions,
        delta=delta,
        least_lost=_most_lost_alone(questions, delta, alpha),
        won=distinct,
        index=index,
        mass=mass,
        chance=np.minimum((q + delta) / np.maximum(1 - q, 1e-300), 1),
        start=start,
    )


def _spread(first: int, last: int, thin: bool) -> Array:
    if thin and last - first >= NODES:
        return np.unique(np.linspace(first, last, NODES).astype(np.int64))
    return np.arange(first, last + 1)


@lru_cache(maxsize=4096)
def _most_lost_alone(questions: int, delta: float, alpha: float) -> int:
    """The most lost questions with which a binomial test rejects; -1: none."""
    most = int(binomial_ppf(alpha, questions, delta))
    return most if binomial_cdf(most, questions, delta) <= alpha else most - 1


def _size(plan: _Plan, cut: float) -> float:
    lost = _most_lost(plan, cut)[plan.index]
    others = plan.questions - plan.won[plan.index]
    below = betainc(np.maximum(others - lost, 1e-9), lost + 1.0, 1 - plan.chance)  # binomial distribution function
    below = np.where(lost >= others, 1.0, np.where(lost < 0, 0.0, below))
    return float(np.add.reduceat(plan.mass * below, plan.start).max())


def _most_lost(plan: _Plan, cut: float) -> Array:
    """[W] the most lost questions with which the hypothesis is still rejected; -1: none."""
    n, won = plan.questions, plan.won
    low, high = np.full(len(won), -1), np.minimum(n - won, np.ceil(won + plan.delta * n).astype(np.int64)) + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        open_ = high - low > 1
        yes = signed_root(np.maximum(middle, 0), won, n, plan.delta) <= -cut
        low, high = np.where(open_ & yes, middle, low), np.where(open_ & ~yes, middle, high)
    return np.where(won == 0, np.minimum(low, plan.least_lost), low)


def rejects(lost: Array | int, won: Array | int, questions: int, delta: float, alpha: float) -> Array:
    """True where the drop is below delta with error at most alpha. `lost`, `won` of any shape."""
    questions, delta, alpha = int(questions), float(delta), float(alpha)
    cut = critical(questions, delta, alpha)
    enough = signed_root(lost, won, questions, delta) <= -cut
    return enough & ((np.asarray(won) > 0) | (np.asarray(lost) <= _most_lost_alone(questions, delta, alpha)))


def drop_bound(lost: int, won: int, questions: int, confidence: float) -> float:
    """Upper bound of the drop that holds with `confidence`: the least drop that the test excludes, to 1 %."""
    alpha = 1 - confidence
    cut, bound = -float(ndtri(alpha)), 1.0
    for _ in range(3):  # the critical value hardly depends on the drop
        low, high = max((lost - won) / questions, 0.0), 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if signed_root(lost, won, questions, middle) <= -cut else (middle, high)
        bound = high
        cut = min(critical(questions, round(bound, 6), alpha), 10.0)
    if won == 0 and lost < questions:  # the binomial test must reject as well
        bound = max(bound, float(betainccinv(lost + 1, questions - lost, alpha)) * (1 + 1e-9))
    while bound < 1 and not rejects(lost, won, questions, bound, alpha):
        bound *= 1.01
    return min(bound, 1.0)
