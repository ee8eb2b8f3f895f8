"""The binomial distribution from scipy.special: scipy.stats takes half a second to import."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrik, gammaln, xlog1py, xlogy

Array = np.ndarray


def binomial_pmf(hits: Array | float, tries: int, chance: Array | float) -> Array:
    """P(X = hits); shapes broadcast."""
    hits = np.asarray(hits, np.float64)
    ways = gammaln(tries + 1) - gammaln(hits + 1) - gammaln(tries - hits + 1)
    return np.exp(ways + xlogy(hits, chance) + xlog1py(tries - hits, -np.asarray(chance)))


def binomial_cdf(hits: Array | float, tries: int, chance: Array | float) -> Array:
    """P(X <= hits) for whole `hits`, also -1; shapes broadcast."""
    hits = np.asarray(hits, np.float64)
    return np.where(hits < 0, 0.0, bdtr(np.maximum(hits, 0.0), tries, chance))


def binomial_ppf(level: float, tries: int, chance: Array | float) -> Array:
    """The least number of hits x with P(X <= x) >= level."""
    with np.errstate(invalid="ignore"):
        above = np.where(np.asarray(chance) > 0, np.ceil(bdtrik(level, tries, chance)), 0.0)
    below = np.maximum(above - 1, 0)
    return np.where(binomial_cdf(below, tries, chance) >= level, below, above)
