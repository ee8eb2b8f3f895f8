"""Thresholds with a promise on new questions, from counts per confidence level.

A promise is about one of three rates of the cascade at a threshold:
- "net": the accuracy drop against the LLM alone; questions that the SLM wins count in return (net_drop.py).
- "loss": the share of questions that are lost, wins not counted: binomial, and monotone in the threshold.
- "kept_accuracy": the accuracy of kept answers: binomial given how many are kept.
With probability 1 - alpha over the draw of the calibration questions, the rate of the chosen threshold on new questions
like them is within the target (Learn-then-Test, Angelopoulos et al., arXiv 2110.01052, with exact tests).

Candidates depend on the confidences alone, not on verdicts: at most MOST of them, evenly spaced by kept share. They are
tested one after another, the one that keeps the fewest answers first, each at the full alpha, until one fails (fixed
sequence). For "kept_accuracy" a candidate that keeps very few answers cannot pass: testing starts at STARTS kept
shares, each with alpha / STARTS, and the alpha of a candidate that passes goes to the next one that keeps more
(fallback procedure, Wiens and Dmitrienko 2005).

Legend: K levels by ascending confidence, D = K + 1 depths: depth d defers the d lowest levels; ... are resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from corea.cascade.net_drop import critical, rejects, signed_root

Array = np.ndarray
PROMISES = ("net", "loss", "kept_accuracy")
MOST = 40
"""Candidates."""
STARTS = 3
FAR = 10_000_000
"""Above this, give no sample-size advice."""


@dataclass(slots=True, kw_only=True)
class Kept:
    """What each depth keeps. [..., D] each, but `questions`."""

    kept: Array
    """Kept answers."""
    lost: Array
    """Kept answers where only the LLM is right."""
    won: Array
    """Kept answers where only the SLM is right."""
    right: Array
    """Kept answers that are right."""
    questions: int
    """All questions, kept and deferred."""


def kept(count: Array) -> Kept:
    """Sums over the kept levels from `count` [..., K, 4], questions of each level and outcome."""
    count = np.asarray(count)

    def above(per_level: Array) -> Array:  # [..., K] -> [..., D] sums over the levels from each depth on
        ends = np.zeros((*per_level.shape[:-1], per_level.shape[-1] + 1), np.int64)
        np.cumsum(per_level[..., ::-1], axis=-1, out=ends[..., -2::-1])
        return ends

    neither, lost, won, both = (above(count[..., outcome]) for outcome in range(4))
    return Kept(
        kept=neither + lost + won + both,
        lost=lost,
        won=won,
        right=won + both,
        questions=int(count.reshape(-1, *count.shape[-2:])[:1].sum()),
    )


def candidates(size: Array, most: int = MOST, missing: int = 0) -> Array:
    """[..., D] True at the depths that are tested, from `size` [..., K], the questions of each level.

    All non-empty levels where there are at most `most`; else those at which the kept share reaches a further multiple
    of 1 / most, and the lowest one. The `missing` lowest levels state no confidence and are never kept.
    """
    size = np.asarray(size)
    levels = size.shape[-1]
    share = np.cumsum(size[..., ::-1], -1)[..., ::-1] / np.maximum(size.sum(-1, keepdims=True), 1)
    step = np.floor(share * most + 1e-9)
    above = np.concatenate([step[..., 1:], np.zeros((*step.shape[:-1], 1))], -1)
    tested = np.zeros((*size.shape[:-1], levels + 1), bool)
    tested[..., :-1] = (size > 0) & ((step > above) | (levels - missing <= most))
    tested[..., :missing] = False
    if missing < levels:
        tested[..., missing] = size[..., missing] > 0
    return tested


def chosen_depth(count: Array, of: str, target: float, alpha: float, tested: Array) -> Array:
    """[...] the boldest depth whose promise holds; K (defer everything, which keeps every promise) where none does.

    `of` is one of PROMISES; `target` the most drop or loss, or the least kept accuracy; `tested` [..., D] candidates.
    """
    sums = kept(count)
    if of == "kept_accuracy":
        valid = _fallback(sums, target, alpha, tested)
    else:
        passed = np.ones(tested.shape, bool)
        passed[tested] = passes(_at(sums, tested), of, target, alpha)
        valid = tested & np.logical_and.accumulate(passed[..., ::-1], -1)[..., ::-1]
    return np.where(valid.any(-1), valid.argmax(-1), valid.shape[-1] - 1)


def passes(sums: Kept, of: str, target: float, alpha: float) -> Array:
    """[..., D] True where the promise of that depth alone is significant at alpha."""
    if of == "net":
        return rejects(sums.lost, sums.won, sums.questions, target, alpha)
    return p_value(sums, of, target) <= alpha


def _at(sums: Kept, where: Array) -> Kept:
    """The sums of the depths that are marked, in one row."""
    of = {name: getattr(sums, name)[where] for name in ("kept", "lost", "won", "right")}
    return Kept(**of, questions=sums.questions)


def p_value(sums: Kept, of: str, target: float) -> Array:
    """[..., D] exact binomial p-value of "the loss is above, or the kept accuracy below, the target"."""
    if of == "loss":
        return _binomial(sums.lost, np.asarray(sums.questions), target)
    return _binomial(sums.kept - sums.right, sums.kept, 1 - target)


def _binomial(hits: Array | float, tries: Array | float, limit: float) -> Array:
    """P(X <= hits) of a binomial X; hits may be a fraction (planning)."""
    hits, tries = np.asarray(hits, np.float64), np.asarray(tries, np.float64)
    inside = betainc(np.maximum(tries - hits, 1e-300), hits + 1, 1 - limit)
    return np.where(hits >= tries, 1.0, inside)


def _fallback(sums: Kept, target: float, alpha: float, tested: Array) -> Array:
    """[..., D] valid depths: a start brings alpha / STARTS, a candidate that passes hands its level on."""
    p = p_value(sums, "kept_accuracy", target)
    starts = _starts(sums.kept, target, alpha, tested)
    level = np.zeros(p.shape[:-1])
    valid = np.zeros(p.shape, bool)
    for depth in range(p.shape[-1] - 1, -1, -1):
        here = tested[..., depth]
        level = level + np.where(here, starts[..., depth] * alpha / STARTS, 0)
        valid[..., depth] = here & (p[..., depth] <= level) & (level > 0)
        level = np.where(here & ~valid[..., depth], 0, level)
    return valid


def _starts(kept_answers: Array, target: float, alpha: float, tested: Array) -> Array:
    """[..., D] how many starts fall on each depth: the safest candidate that keeps enough answers for each.

    The first start keeps twice the answers that pass without an error (fewer where these are more than a quarter of
    all), the others keep 1 / STARTS, 2 / STARTS, ... of all.
    """
    least = math.ceil(math.log(alpha / STARTS) / math.log(target))
    most = np.where(tested, kept_answers, 0).max(-1)
    number = np.zeros(tested.shape)
    for i in range(STARTS):
        need = most * i / STARTS if i else np.minimum(2 * least, most / 4)
        need = np.minimum(np.maximum(need, least), most)[..., None]
        enough = tested & (kept_answers >= need)
        first = enough.shape[-1] - 1 - enough[..., ::-1].argmax(-1)
        at = np.arange(enough.shape[-1]) == first[..., None]
        number += at & enough
    return number


@dataclass(slots=True, kw_only=True)
class Shortfall:
    """What it would take for a threshold to pass, were further questions like the ones at hand."""

    questions: float
    """Least number of calibration questions, these included; inf where no number helps."""
    depth: int | None
    """The candidate that passes with them."""


def shortfall(count: Array, of: str, target: float, alpha: float, tested: Array) -> Shortfall:
    """Sample size at which a first candidate passes, and which; `count` [K, 4], `tested` [D]."""
    sums = kept(count)
    depths = [int(d) for d in np.flatnonzero(tested & (sums.kept > 0))[::-1]]
    if of != "kept_accuracy":  # all safer candidates must pass as well, so the safest one passes first
        depths = depths[:1]
    best = Shortfall(questions=math.inf, depth=None)
    for depth in depths:
        need = _needed(sums, depth, of, target, alpha)
        if need < best.questions:
            best = Shortfall(questions=need, depth=depth)
    return best


def _needed(sums: Kept, depth: int, of: str, target: float, alpha: float) -> float:
    """Least number of questions at which `depth` passes with today's rates."""
    lost, won, answers, right = (int(x[depth]) for x in (sums.lost, sums.won, sums.kept, sums.right))
    n = sums.questions
    rate = {"net": (lost - won) / n, "loss": lost / n, "kept_accuracy": target + 1 - right / max(answers, 1)}[of]
    if not 0 < target < 1 or rate >= (1.0 if of == "kept_accuracy" else target):
        return math.inf

    def enough(questions: int) -> bool:
        scale = questions / n
        if of == "net":
            cut = critical(questions, float(target), float(alpha))
            root = float(signed_root(lost * scale, won * scale, questions, target))
            return root <= -cut and (won > 0 or float(_binomial(lost * scale, questions, target)) <= alpha)
        if of == "loss":
            return float(_binomial(lost * scale, questions, target)) <= alpha
        return float(_binomial((answers - right) * scale, answers * scale, 1 - target)) <= alpha / STARTS

    return _least(enough)


def _least(enough: Callable[[int], bool]) -> float:
    """Least n for which `enough` holds, by doubling and bisection; inf beyond FAR."""
    high = 1
    while not enough(high):
        high *= 2
        if high > FAR:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)
