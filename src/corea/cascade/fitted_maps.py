"""Maps from raw confidence signals to a probability of being correct, fitted on calibration questions.

isotonic  monotone, piecewise linear between knots (Zadrozny and Elkan 2002); one signal
platt     logistic curve over the logit of the signal (Platt 1999); one signal
stack     logistic regression over the logits of several signals and the log of the completion length, with squares and
          pairwise products where cross-validation prefers them: `combined`

A map is plain data: it goes into operating_point.json and `apply` computes the same confidence from it later, to
1e-12. A map is fitted on one part of the calibration questions (`fit_part`), and thresholds are chosen on the other
part: a map that has seen the verdict of a question makes any threshold look better on it.
Legend: N questions, F features, P = F (F + 1) / 2 products of two features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

EDGE = 1e-3
"""The logit is taken of a confidence clipped to [EDGE, 1 - EDGE]."""
DIGITS = 12
"""Decimals of a mapped confidence."""
LENGTH = "length"
"""Feature of a stack: completion tokens."""
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse L2 strengths that cross-validation chooses from for a stack."""
FOLDS = 5
WEAK = 1e6
"""Inverse L2 strength of Platt's curve."""
NEWTON_STEPS = 50
SETTLED = 1e-10
"""A Newton step of this size is the last one."""


@dataclass(slots=True, kw_only=True, frozen=True)
class Isotonic:
    """Piecewise linear through the knots, constant outside them."""

    signal: str
    x: tuple[float, ...]
    """Signal at each knot, ascending."""
    y: tuple[float, ...]
    """Probability of being correct at each knot, ascending."""
    kind: str = "isotonic"


@dataclass(slots=True, kw_only=True, frozen=True)
class Platt:
    """sigmoid(slope * logit(signal) + intercept)."""

    signal: str
    slope: float
    intercept: float
    kind: str = "platt"


@dataclass(slots=True, kw_only=True, frozen=True)
class Stack:
    """sigmoid(intercept + coefficients . z + products . (z_i z_j) + missing . (1 where missing)).

    z [F] are the standardised features: the logit of a signal, or log(1 + completion tokens).
    """

    features: tuple[str, ...]
    """Names of signals, and "length"."""
    centre: tuple[float, ...]
    """[F] mean of each transformed feature over the fitted questions; a missing value takes its place."""
    scale: tuple[float, ...]
    """[F] standard deviation of each transformed feature, 1 where it is constant."""
    coefficients: tuple[float, ...]
    """[F] of z."""
    products: tuple[float, ...] = ()
    """[P] of z_i z_j with i <= j, row by row; empty: none."""
    missing: tuple[float, ...]
    """[F] added where the feature is missing."""
    intercept: float
    kind: str = "stack"


FittedMap = Isotonic | Platt | Stack
KINDS: dict[str, type[Isotonic] | type[Platt] | type[Stack]] = {"isotonic": Isotonic, "platt": Platt, "stack": Stack}


def fit_isotonic(signal: str, confidence: np.ndarray, correct: np.ndarray) -> Isotonic:
    """Fit on `confidence` [N] without NaN and `correct` [N] bool, by pooling adjacent violators."""
    level, place = np.unique(np.asarray(confidence, np.float64), return_inverse=True)
    right, size = np.bincount(place, weights=correct), np.bincount(place)
    blocks: list[tuple[float, int, int]] = []  # right answers, answers, levels; shares of right answers ascend
    for hits, answers in zip(right.tolist(), size.tolist(), strict=True):
        levels = 1
        while blocks and blocks[-1][0] * answers >= hits * blocks[-1][1]:
            before = blocks.pop()
            hits, answers, levels = hits + before[0], answers + before[1], levels + before[2]
        blocks.append((hits, answers, levels))
    x, y, end = [], [], 0
    for hits, answers, levels in blocks:
        ends = dict.fromkeys((end, end + levels - 1))  # the first and the last level of a block are its knots
        x += [float(level[k]) for k in ends]
        y += [hits / answers] * len(ends)
        end += levels
    return Isotonic(signal=signal, x=tuple(x), y=tuple(y))


def fit_platt(signal: str, confidence: np.ndarray, correct: np.ndarray) -> Platt:
    """Fit on `confidence` [N] without NaN and `correct` [N] bool; a constant signal gets the share of correct ones.

    Newton's method on the log loss, with a penalty of slope^2 / (2 WEAK) that keeps the slope finite where the signal
    separates right from wrong answers. The steps are halved until the loss falls.
    """
    z, y = _logit(confidence), np.asarray(correct, np.float64)
    if len(np.unique(confidence)) < 2:
        share = np.clip(y.mean(), EDGE, 1 - EDGE)
        return Platt(signal=signal, slope=0.0, intercept=float(np.log(share / (1 - share))))
    design, ridge = np.stack([z, np.ones_like(z)]), np.array([1 / WEAK, 0.0])

    def loss(weights: np.ndarray) -> float:
        score = weights @ design
        return float(np.logaddexp(0, np.where(y > 0, -score, score)).sum() + ridge @ weights**2 / 2)

    weights = np.zeros(2)
    reached = loss(weights)
    for _ in range(NEWTON_STEPS):
        p = _sigmoid(weights @ design)
        gradient = design @ (p - y) + ridge * weights
        step = np.linalg.solve((design * (p * (1 - p))) @ design.T + np.diag(ridge), gradient)
        while (ahead := loss(weights - step)) > reached and np.abs(step).max() > SETTLED:
            step = step / 2
        weights, reached = weights - step, ahead
        if np.abs(step).max() <= SETTLED:
            break
    return Platt(signal=signal, slope=float(weights[0]), intercept=float(weights[1]))


def fit_stack(features: Mapping[str, np.ndarray], correct: np.ndarray, seed: int = 0) -> Stack:
    """Fit a stack. Cross-validation chooses the regularisation, and whether products of features are used.

    Args:
        features: name -> [N] values, NaN missing; "length" holds completion tokens, other names signals in [0, 1].
        correct: [N] bool, some True and some False.
        seed: of the cross-validation.
    """
    names = tuple(features)
    raw = np.stack([_transformed(name, features[name]) for name in names], 1)
    gone = np.isnan(raw)
    centre = np.array([column[~np.isnan(column)].mean() if (~np.isnan(column)).any() else 0.0 for column in raw.T])
    filled = np.where(gone, centre, raw)
    scale = filled.std(0)
    scale[scale < 1e-9] = 1.0
    z, indicators = (filled - centre) / scale, gone.astype(float)
    count = len(names)
    plain = np.concatenate([z, indicators], 1)
    fitted, loss = _logistic(plain, correct, seed)
    squared, squared_loss = _logistic(np.concatenate([plain, _products(z)], 1), correct, seed)
    best = squared if squared_loss < loss else fitted
    weights = best.coef_[0]
    return Stack(
        features=names,
        centre=_floats(centre),
        scale=_floats(scale),
        coefficients=_floats(weights[:count]),
        products=_floats(weights[2 * count :]),
        missing=_floats(np.where(gone.any(0), weights[count : 2 * count], 0.0)),
        intercept=float(best.intercept_[0]),
    )


def _logistic(design: np.ndarray, correct: np.ndarray, seed: int) -> tuple[Any, float]:
    """Logistic regression with the strength that cross-validation prefers, and its log loss (inf: too few data)."""
    from sklearn import config_context
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    def fitted(rows: np.ndarray | slice, strength: float) -> LogisticRegression:
        return LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200).fit(design[rows], correct[rows])

    if min(correct.sum(), (~correct).sum()) < FOLDS:
        return fitted(slice(None), STRENGTHS[0]), float("inf")
    losses = np.zeros((FOLDS, len(STRENGTHS)))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(design, correct)
    with config_context(assume_finite=True, skip_parameter_validation=True):
        for fold, (rows, held) in enumerate(folds):
            for place, strength in enumerate(STRENGTHS):
                losses[fold, place] = _log_loss(fitted(rows, strength).decision_function(design[held]), correct[held])
    mean = losses.mean(0)
    best = int(mean.argmin())
    return fitted(slice(None), STRENGTHS[best]), float(mean[best])


def _log_loss(score: np.ndarray, correct: np.ndarray) -> float:
    """Mean log loss of log odds `score` [N]."""
    return float(np.logaddexp(0, np.where(correct, -score, score)).mean())


def _products(z: np.ndarray) -> np.ndarray:
    """[N, P] z_i z_j with i <= j, row by row."""
    rows, columns = np.triu_indices(z.shape[1])
    return z[:, rows] * z[:, columns]


def apply(fitted: FittedMap, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """[N] probability of being correct; NaN where the signal (of a stack: every signal) is missing.

    Args:
        features: name -> [N] raw values; names that the map does not use are ignored.

    Raises:
        KeyError: a feature of the map is not given.
    """
    if isinstance(fitted, Stack):
        return _apply_stack(fitted, features)
    raw = np.asarray(features[fitted.signal], np.float64)
    given = ~np.isnan(raw)
    mapped = np.full(raw.shape, np.nan)
    if isinstance(fitted, Isotonic):
        mapped[given] = np.interp(raw[given], fitted.x, fitted.y)
    else:
        mapped[given] = _sigmoid(fitted.slope * _logit(raw[given]) + fitted.intercept)
    return np.round(np.clip(mapped, 0, 1), DIGITS)


def _apply_stack(fitted: Stack, features: Mapping[str, np.ndarray]) -> np.ndarray:
    raw = np.stack([_transformed(name, features[name]) for name in fitted.features], -1)
    gone = np.isnan(raw)
    z = (np.where(gone, fitted.centre, raw) - fitted.centre) / np.asarray(fitted.scale)
    score = fitted.intercept + z @ np.asarray(fitted.coefficients) + gone @ np.asarray(fitted.missing)
    if fitted.products:
        score = score + _products(z) @ np.asarray(fitted.products)
    mapped = np.round(np.clip(_sigmoid(score), 0, 1), DIGITS)
    signals = [k for k, name in enumerate(fitted.features) if name != LENGTH]
    return np.where(gone[:, signals].all(1), np.nan, mapped) if signals else mapped


def to_json(fitted: FittedMap) -> dict[str, Any]:
    """The map as plain JSON values; `kind` says which it is."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(fitted).items()}


def from_json(document: Mapping[str, Any]) -> FittedMap:
    """The map that `to_json` wrote.

    Raises:
        ValueError: the kind is unknown, or a field is missing or superfluous.
    """
    kind = document.get("kind")
    if kind not in KINDS:
        raise ValueError(f"fitted map: kind={kind!r}: allowed is {', '.join(KINDS)}")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in document.items()}
    try:
        return KINDS[kind](**values)
    except TypeError as error:
        raise ValueError(f"fitted map of kind {kind}: {error}") from error


def _transformed(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return np.log1p(values) if name == LENGTH else _logit(values)


def _logit(confidence: np.ndarray) -> np.ndarray:
    clipped = np.clip(confidence, EDGE, 1 - EDGE)
    return np.log(clipped / (1 - clipped))


def _sigmoid(score: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # of exp, where the sigmoid is 0
        return 1 / (1 + np.exp(-np.asarray(score, np.float64)))


def _floats(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
