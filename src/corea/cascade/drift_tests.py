"""Sequential tests of whether new questions are like the calibration questions, valid however long they run.

A stream of categories (deferred or not; the bin of a confidence) is compared with the counts of the calibration
questions. Under the null hypothesis both come from one unknown distribution. Test k starts at question s_k and
bets that the distribution has changed there. Its wealth is the ratio of two predictive probabilities of the questions
since s_k:

    Dirichlet-multinomial around the distribution before s_k, with STRENGTH pseudo-questions   (changed)
    Dirichlet-multinomial of calibration and all questions before s_k, prior 1/2 each          (unchanged)

The sum of the wealths, weighted by 1 / ((k + 1) (k + 2)), is a martingale with start 1 that is never negative. By
Ville's inequality it exceeds 1 / alpha at any time with probability at most alpha. The denominator averages over the
posterior of the unknown distribution, so the sampling error of the calibration questions is included. The bound holds
exactly on average over distributions from that prior; tests/serving/test_drift_rates.py simulates it for single ones.

Legend: J categories, K starts, ... streams that are simulated together.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, logsumexp

Array = np.ndarray
PRIOR = 0.5
"""Pseudo-questions of each category (Jeffreys)."""
STRENGTH = 50.0
"""Pseudo-questions of a bet: at a deferral rate of 0.4 its changes have a standard deviation of 7 points."""
FIRST, GROWTH = 250, 1 / 16
"""The next start is FIRST questions later or, if that is more, GROWTH of all questions later."""


def log_predictive(counts: Array, pseudo: Array) -> Array:
    """[...] log-probability of a sequence with `counts` [..., J], Dirichlet-multinomial with `pseudo` [..., J]."""
    whole = gammaln(pseudo.sum(-1)) - gammaln((pseudo + counts).sum(-1))
    return whole + (gammaln(pseudo + counts) - gammaln(pseudo)).sum(-1)


class ChangeTest:
    """One stream, or several with the same length."""

    def __init__(self, calibration: Array) -> None:
        """`calibration`: [..., J] calibration questions of each category."""
        self.known = np.asarray(calibration, np.float64) + PRIOR
        self.seen = np.zeros_like(self.known)
        """[..., J] questions of the stream."""
        self.questions = 0
        self.starts: list[Array] = [self.seen.copy()]
        """[K] of [..., J]: `seen` at each start."""
        self.next_start = FIRST

    def add(self, counts: Array) -> Array:
        """Add questions, [..., J] of each category; returns `log_wealth`."""
        self.seen = self.seen + counts
        self.questions += int(np.sum(counts, -1).flat[0])
        wealth = self.log_wealth()
        if self.questions >= self.next_start:
            self.starts.append(self.seen.copy())
            self.next_start = self.questions + max(FIRST, int(GROWTH * self.questions))
        return wealth

    def log_wealth(self) -> Array:
        """[...] logarithm of the wealth now."""
        before = np.stack(self.starts, -2)  # [..., K, J]
        since = self.seen[..., None, :] - before
        unchanged = self.known[..., None, :] + before
        changed = STRENGTH * unchanged / unchanged.sum(-1, keepdims=True)
        wealth = log_predictive(since, changed) - log_predictive(since, unchanged)  # [..., K]
        number = np.arange(len(self.starts))
        weights = -np.log((number + 1.0) * (number + 2.0))
        waiting = np.full((*wealth.shape[:-1], 1), -np.log(len(self.starts) + 1.0))  # later starts have bet nothing yet
        return logsumexp(np.concatenate([wealth + weights, waiting], -1), axis=-1)
