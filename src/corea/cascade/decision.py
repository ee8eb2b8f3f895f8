"""The decision of a cascade: keep an answer, or defer the question to the next tier.

A question is deferred when its confidence is below the threshold. A missing confidence (NaN) is always deferred; that
of a truncated or failed answer counts as missing (answers/table.py). The sweep over all thresholds, the rules and a
live cascade share this one definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np

from corea.errors import UserError
from corea.types import Status

EVERYTHING = 1.01
"""The threshold above every confidence: all questions are deferred."""


class Reason(StrEnum):
    """Why an answer stands, or why the question was deferred to the tier whose answer stands."""

    KEPT = "kept"
    """The tier's confidence reaches its threshold, or the chain has one tier."""
    LOW = "low"
    """The confidence of the tier before was below its threshold."""
    MISSING = "missing"
    """The tier before gave no confidence."""
    TRUNCATED = "truncated"
    """The answer of the tier before was cut off at its token limit."""
    SLM_ERROR = "slm_error"
    """The tier before gave no answer."""
    BUDGET = "budget"
    """The question was deferred, but the budget allows no further call: the answer is that of the tier before."""
    UNCALIBRATED = "uncalibrated"
    """The operating point does not hold for the question, so the last tier answered it."""
    DRIFT = "drift"
    """After a drift alarm, the last tier answers every question."""


class Thresholds(Protocol):
    """What decides: the point of a dataset as it is evaluated (DatasetPoint) or as it is run (LiveChain)."""

    @property
    def dataset(self) -> str: ...
    @property
    def thresholds(self) -> Any: ...
    @property
    def rule(self) -> Any: ...


class LiveChain(Thresholds, Protocol):
    """Thresholds of a chain of which some tiers may state no confidence."""

    @property
    def chain(self) -> Sequence[int]: ...
    @property
    def deciders(self) -> Sequence[int]:
        """Position -> position of the tier whose confidence is compared with its threshold."""
        ...


def deferred(confidence: np.ndarray | float, threshold: np.ndarray | float) -> np.ndarray:
    """True where a question is deferred. `confidence` (NaN is missing) and `threshold` broadcast."""
    if isinstance(confidence, float) and isinstance(threshold, float):  # one question, in a fraction of the time
        return np.asarray(not confidence >= threshold)
    return ~(np.asarray(confidence, np.float64) >= threshold)


def deferred_count(ascending: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    """How many of the `ascending` confidences [K] (missing ones first) each threshold [...] defers.

    Bisection on `deferred`: the deferred confidences are the first ones, since missing and low ones come first.
    """
    threshold = np.asarray(threshold, np.float64)
    low, high = np.zeros(threshold.shape, np.int64), np.full(threshold.shape, len(ascending))
    while (low < high).any():
        middle = (low + high) // 2
        below = deferred(ascending[np.minimum(middle, len(ascending) - 1)], threshold) & (low < high)
        low, high = np.where(below, middle + 1, low), np.where(below, high, middle)
    return low


def decide(confidence: np.ndarray | float, point: Thresholds, position: int = 0) -> np.ndarray:
    """True where the answer of the tier at `position` of the chain is kept, False where it is deferred.

    Args:
        confidence: [...] the signal that `point` was chosen with, NaN missing.
        point: operating point of a dataset.
        position: index in the chain; the last tier is always kept.

    Raises:
        UserError: the operating point holds no threshold.
    """
    if point.thresholds is None:
        raise UserError(
            f"operating point of {point.dataset}: no threshold: {point.rule.get('note') or 'none was found'}"
        )
    if position >= len(point.thresholds):
        return np.asarray(True) if isinstance(confidence, float) else np.ones(np.shape(confidence), bool)
    return ~deferred(confidence, point.thresholds[position])


@dataclass(frozen=True, slots=True)
class Step:
    """Where a question goes after a tier's answer."""

    position: int
    """Index in the chain: the tier's own if its answer stands, else that of the tier to ask next."""
    stands: bool
    """True: the answer at `position` is the result, whatever its confidence."""


def next_step(confidence: float | None, point: LiveChain, position: int) -> Step:
    """The step after the answer at `position`, which states `confidence` (None or NaN: missing).

    A tier that states no confidence itself is routed by an earlier one (chains.py): the confidence of the
    earlier tier is compared with the thresholds of both tiers, and the tier so selected gives the answer.
    """
    value = np.nan if confidence is None else confidence
    for place in range(position, len(point.chain)):
        if place > position and place < len(point.deciders) and point.deciders[place] != position:
            return Step(place, stands=False)
        if decide(value, point, place):
            return Step(place, stands=True)
    raise AssertionError("the last tier keeps every answer")


def deferral_reason(status: str, confidence: float | None) -> Reason:
    """Why a question with this answer is deferred. `confidence` None or NaN is missing."""
    if status == Status.ERROR:
        return Reason.SLM_ERROR
    if status == Status.TRUNCATED:
        return Reason.TRUNCATED
    return Reason.MISSING if confidence is None or np.isnan(confidence) else Reason.LOW
