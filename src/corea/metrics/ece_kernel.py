"""Nearly unbiased estimator of an absolute value from one normal observation.

ECE is a sum of absolute gaps. The absolute value of a noisy gap x = mu + Z, Z standard normal, is too large on average:
at mu = 0 by 0.8 standard errors. No function of x has mean |mu| everywhere (Cai and Low, arXiv 1105.3039), so this one
trades bias against variance: it minimises

    sum over mu of  E(f(mu + Z) - mu)^2 + precision * w(mu) * (E f(mu + Z) - mu)^2

among even functions that equal |x| beyond END, where w is `at_zero` near mu = 0 and 1 elsewhere. The solution is a
linear system, or a non-negative least squares problem where f must rise by at least `slope`; nothing is fitted to data.

Legend: X points of the integration grid, M values of mu.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.polynomial.hermite_e import hermeval

Array = np.ndarray
STEP, END = 0.05, 5.0
"""Grid of x: f is tabulated at 0, STEP, ..., END and is |x| beyond."""
MU = np.arange(61) / 10
"""[M] values of mu at which moments are tabulated; beyond the last one f is |x|."""
ORDERS = 6
"""Terms of the covariance of two correlated observations."""
PATIENCE = 3
"""Exchanges of whole blocks without progress before variables change side one by one."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The function f and the moments of f(mu + Z) as functions of |mu|."""

    table: Array
    """[END / STEP + 1] f at 0, STEP, ..., END."""
    means: Array
    """[M] mean."""
    variances: Array
    """[M] variance."""
    thirds: Array
    """[M] third central moment."""
    coefficients: Array
    """[ORDERS + 1, M] E f(mu + Z) He_k(Z): the k-th derivative of the mean by mu."""

    def __call__(self, x: Array) -> Array:
        """f(x), same shape."""
        x = np.abs(x)
        return np.where(x >= END, x, np.interp(x, np.arange(len(self.table)) * STEP, self.table))

    def mean(self, mu: Array) -> Array:
        """E f(mu + Z)."""
        mu = np.abs(mu)
        return np.where(mu >= MU[-1], mu, np.interp(mu, MU, self.means))

    def variance(self, mu: Array) -> Array:
        """Var f(mu + Z)."""
        return np.interp(np.abs(mu), MU, self.variances)

    def third(self, mu: Array) -> Array:
        """Third central moment of f(mu + Z)."""
        return np.interp(np.abs(mu), MU, self.thirds)

    def derivative(self, mu: Array, order: int) -> Array:
        """k-th derivative of E f(mu + Z) by mu, `order` = k from 1 to ORDERS."""
        size = np.abs(mu)
        far = np.ones_like(size) if order == 1 else np.zeros_like(size)
        value = np.where(size >= MU[-1], far, np.interp(size, MU, self.coefficients[order]))
        return value * np.sign(mu) if order % 2 else value


@lru_cache(maxsize=8)
def kernel(precision: float, at_zero: float = 1.0, slope: float | None = None) -> Kernel:
    """The kernel of a bias penalty `precision` and its weight `at_zero` near mu = 0; precision 0 is |x| itself."""
    x = np.arange(-2.4 * END, 2.4 * END + STEP / 2, STEP)
    cell = np.rint(np.abs(x) / STEP).astype(int)
    free = cell <= round(END / STEP)
    density = np.exp(-((x - MU[:, None]) ** 2) / 2) / sqrt(2 * np.pi) * STEP  # [M, X]
    table = np.arange(round(END / STEP) + 1) * STEP
    if precision > 0:
        design = np.zeros((len(MU), len(table)))
        np.add.at(design.T, cell[free], density[:, free].T)
        fixed = density[:, ~free] @ np.abs(x[~free])  # part of the mean that lies beyond END
        weight = np.where(MU > 4, 0.2, 1.0) * np.where(MU < 0.25, at_zero, 1.0)
        square = np.diag(weight @ design) + precision * (design.T * weight) @ design + 1e-9 * np.eye(len(table))
        right = (weight * MU) @ design + precision * design.T @ (weight * (MU - fixed))
        table = np.linalg.solve(square, right) if slope is None else _rising(square, right, slope)
    f = np.where(free, table[np.minimum(cell, len(table) - 1)], np.abs(x))
    mean = density @ f
    apart = f - mean[:, None]
    away = x - MU[:, None]
    powers = [(density * f * hermeval(away, [0.0] * k + [1.0])).sum(1) for k in range(ORDERS + 1)]
    return Kernel(
        table=table,
        means=mean,
        variances=(density * apart**2).sum(1),
        thirds=(density * apart**3).sum(1),
        coefficients=np.array(powers),
    )


def _rising(square: Array, right: Array, slope: float) -> Array:
    """The minimum of f' square f / 2 - right' f over f that rises by at least `slope` and ends at END."""
    square = square.copy()
    square[-1, -1] += 1e4
    right = right.copy()
    right[-1] += 1e4 * END
    factor = np.linalg.cholesky(square)
    steps = np.tril(np.ones_like(square))
    least = np.full(len(right), slope * STEP)
    least[0] = -20.0  # f(0) is free
    more = non_negative(factor.T @ steps, np.linalg.solve(factor, right) - factor.T @ steps @ least)
    return steps @ (least + more)


def non_negative(design: Array, target: Array, tolerance: float = 1e-11) -> Array:
    """x >= 0 [F] with the least |design x - target|, for a `design` [N, F] of full column rank.

    Block pivoting (Portugal, Judice and Vicente 1994): every variable on the wrong side changes side at once, or only
    the last of them where that has stopped to help. scipy.optimize has a solver too, but its import takes longer than
    the evaluation of a small table.
    """
    free = np.ones(design.shape[1], bool)
    fewest, patience = len(free) + 1, PATIENCE
    while True:
        x = np.zeros(len(free))
        x[free] = np.linalg.lstsq(design[:, free], target, rcond=None)[0]
        slope = design.T @ (design @ x - target)
        wrong = np.where(free, x, slope) < -tolerance
        if not wrong.any():
            return np.maximum(x, 0)
        if wrong.sum() < fewest:
            fewest, patience = wrong.sum(), PATIENCE
        elif patience > 0:
            patience -= 1
        else:
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
