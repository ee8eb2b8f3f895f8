"""How often the intervals of ECE hold the truth, and how often promised thresholds break their promise.

    python benchmarks/coverage.py ece|change|promises|sizes [draws]

Markdown tables, before (bootstrap; point estimate; Hoeffding-Bentkus on a grid) and after. One process, some minutes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import binom, norm

from corea.cascade import promises
from corea.metrics.ece_change import ece_change_interval
from corea.metrics.ece_interval import bins_of_answers, ece_interval

Array = np.ndarray
BINS = 10
TRUTHS = (0.0, 0.03, 0.07, 0.15, 0.3)
SIZES = (200, 1000)
CONFIDENCES = {
    "uniform (smooth)": ((np.arange(2000) + 0.5) / 2000, np.full(2000, 1 / 2000)),
    "0, 0.1, ..., 1": (np.arange(11) / 10, np.full(11, 1 / 11)),
    "five values": (np.array([0.6, 0.7, 0.8, 0.9, 0.95]), np.array([0.1, 0.15, 0.25, 0.3, 0.2])),
}
"""Values and their probabilities."""


def bin_of(c: Array) -> Array:
    return np.clip(np.searchsorted(np.arange(BINS + 1) / BINS, c, side="right") - 1, 0, BINS - 1)


def true_ece(c: Array, weight: Array, p: Array) -> float:
    """Population ECE over the bins of a model that is right with chance p at confidence c."""
    return float(np.abs(np.bincount(bin_of(c), weight * (c - p), BINS)).sum())


def overconfident(c: Array, weight: Array, size: float) -> Array:
    return np.clip(c - size, 0, 1)


def both_signs(c: Array, weight: Array, size: float) -> Array:
    return np.clip(c + np.where(c < 0.5, size, -size), 0, 1)


def most_confident(c: Array, weight: Array, size: float) -> Array:
    """Only the 30 % most confident answers are off."""
    return np.clip(c - size * (c >= np.interp(0.7, np.cumsum(weight), c)), 0, 1)


SHAPES = {"overconfident": overconfident, "both signs": both_signs, "top 30 %": most_confident}


def chances(shape: Callable, c: Array, weight: Array, truth: float) -> Array | None:
    """Chance of being right at each confidence such that the true ECE is `truth`; None where there is none."""
    if true_ece(c, weight, shape(c, weight, 1.0)) < truth:
        return None
    grid = np.linspace(0, 1, 401)
    sizes = np.array([true_ece(c, weight, shape(c, weight, s)) for s in grid])
    i = max(int(np.argmax(sizes >= truth)), 1)
    return shape(c, weight, brentq(lambda s: true_ece(c, weight, shape(c, weight, s)) - truth, grid[i - 1], grid[i]))


def plug_in(gap_sum: Array, size: Array, right: Array) -> tuple[Array, Array]:
    """ECE and debiased ECE (Kumar et al.) from [..., B] sums."""
    n = np.maximum(size, 1)
    gap, accuracy = gap_sum / n, right / n
    spread = np.sqrt(accuracy * (1 - accuracy) / n)
    z = np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + gap * erf(z / np.sqrt(2))
    folded = np.where(spread > 0, folded, np.abs(gap))
    total = size.sum(-1)
    return (size * np.abs(gap)).sum(-1) / total, (size * (2 * np.abs(gap) - folded)).sum(-1) / total


def of_rows(c: Array, y: Array, rows: Array) -> tuple[Array, Array]:
    """ECE and debiased ECE of resamples `rows` [R, N] of the answers."""
    cell = bin_of(c)[rows] + BINS * np.arange(len(rows))[:, None]

    def sums(v: Array) -> Array:
        return np.bincount(cell.ravel(), v[rows].ravel(), len(rows) * BINS).reshape(-1, BINS)

    return plug_in(sums(c - y), sums(np.ones(len(c))), sums(y * 1.0))


def reverse_bootstrap(c: Array, y: Array, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The intervals of ECE and debiased ECE before: reverse percentile, 200 resamples."""
    rows = rng.integers(0, len(c), (200, len(c)))
    ends = []
    for value, draws in zip(of_rows(c, y, np.arange(len(c))[None]), of_rows(c, y, rows), strict=True):
        low, high = np.quantile(draws, [0.025, 0.975])
        v = float(value[0])
        ends.append((min(v, max(0.0, 2 * v - high)), max(v, 2 * v - low)))
    return ends


def ece(draws: int) -> None:
    rng = np.random.default_rng(0)
    print(
        "| confidences | gaps | n | truth | ECE before | debiased before | after | mean width after | mean estimate |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, (c, weight) in CONFIDENCES.items():
        for shape, of in SHAPES.items():
            for n in SIZES:
                for truth in TRUTHS[(shape != "overconfident") :]:
                    p = chances(of, c, weight, truth)
                    if p is None:
                        continue
                    k = rng.choice(len(c), size=(draws, n), p=weight)
                    y = rng.random((draws, n)) < p[k]
                    found, _ = ece_interval(bins_of_answers(c[k], y, bin_of(c)[k], BINS))
                    held = ((found.low <= truth) & (truth <= found.high)).mean()
                    old = [reverse_bootstrap(c[k[i]], y[i], rng) for i in range(min(draws, 300))]
                    before = [np.mean([low <= truth <= high for low, high in ends]) for ends in zip(*old, strict=True)]
                    width = (found.high - found.low).mean()
                    print(
                        f"| {name} | {shape} | {n} | {truth:g} | {before[0]:.2f} | {before[1]:.2f} | {held:.3f} "
                        f"| {width:.3f} | {found.estimate.mean():.3f} |",
                        flush=True,
                    )


def paired(weights: tuple[Array, Array], n: int, rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """Indices of confidences and uniforms of verdicts of two models, correlated .6 from question to question."""

    def two() -> list[Array]:
        x, z = rng.standard_normal((2, n))
        return [norm.cdf(x), norm.cdf(0.6 * x + 0.8 * z)]

    index = [np.minimum(np.searchsorted(np.cumsum(w), u), len(w) - 1) for w, u in zip(weights, two(), strict=True)]
    return index, two()


def change(draws: int) -> None:
    rng = np.random.default_rng(1)
    print("| confidences | gaps | n | truth of first, second | before | after | mean width after |")
    print("|---|---|---:|---|---:|---:|---:|")
    for name, (c, weight) in list(CONFIDENCES.items())[:2]:
        for n in SIZES:
            for i, first in enumerate(TRUTHS):
                for second in TRUTHS[: i + 1]:
                    p = [chances(overconfident, c, weight, t) for t in (first, second)]
                    hits, old, width = 0, [], 0.0
                    for draw in range(draws):
                        index, verdict = paired((weight, weight), n, rng)
                        confidence = [c[k] for k in index]
                        correct = [u < q[k] for u, q, k in zip(verdict, p, index, strict=True)]
                        cells = [bin_of(x) for x in confidence]
                        found, _ = ece_change_interval(tuple(confidence), tuple(correct), tuple(cells), BINS)
                        hits += found.low <= first - second <= found.high
                        width += found.high - found.low
                        if draw < 300:
                            rows = rng.integers(0, n, (200, n))
                            a, b = (of_rows(x, y, rows)[0] for x, y in zip(confidence, correct, strict=True))
                            low, high = np.quantile(a - b, [0.025, 0.975])
                            old.append(low <= first - second <= high)
                    print(
                        f"| {name} | overconfident | {n} | {first:g}, {second:g} | {np.mean(old):.2f} "
                        f"| {hits / draws:.3f} | {width / draws:.3f} |",
                        flush=True,
                    )


def worlds(delta: float) -> dict[str, tuple[Callable, Callable]]:
    """Chance that keeping a question loses and wins against the LLM, by its rank u from the most confident (0) down.

    In all but the last, keeping everything (or half) lies just beyond delta.
    """

    def constant(value: float) -> Callable[[Array], Array]:
        return lambda u: np.full_like(u, value)

    found = {}
    for q in (0.0, 0.02, 0.15):
        found[f"even, {q:g} won"] = (constant(1.001 * delta + q), constant(q))
        found[f"rising, {q:g} won"] = (lambda u, q=q: 4 * delta * u + q, constant(q))
        found[f"sudden, {q:g} won"] = (lambda u, q=q: np.where(u < 0.5, 0.0, 0.4) + q, constant(q))
    found["not monotone"] = (
        lambda u: np.where((u > 0.3) & (u < 0.5), 6 * delta, 0.02),
        lambda u: np.where(u > 0.5, 0.02 + 2 * delta, 0.02),
    )
    return found


def levels_of(u: Array, outcome: Array, discrete: bool) -> tuple[Array, Array]:
    """Counts [R, K, 4] by ascending confidence, and the true kept share [R, K + 1] of each depth."""
    draws, n = u.shape
    if discrete:
        level, size = 10 - np.minimum((u * 11).astype(int), 10), 11
        share = np.broadcast_to(1 - np.arange(12) / 11, (draws, 12))
    else:
        order, size = np.argsort(-u, 1), n
        level = np.empty_like(order)
        np.put_along_axis(level, order, np.broadcast_to(np.arange(n), (draws, n)), 1)
        share = np.concatenate([-np.sort(-u, 1), np.zeros((draws, 1))], 1)
    cell = (np.arange(draws)[:, None] * size + level) * 4 + outcome
    return np.bincount(cell.ravel(), minlength=draws * size * 4).reshape(draws, size, 4), share


def hoeffding_bentkus(risk: Array, n: Array, limit: float) -> Array:
    """The p-values before (Bates et al., arXiv 2101.02703)."""
    r = np.clip(np.minimum(risk, limit), 1e-12, 1 - 1e-12)
    entropy = r * np.log(r / limit) + (1 - r) * np.log((1 - r) / (1 - limit))
    return np.minimum(np.minimum(np.exp(-n * entropy), math.e * binom.cdf(np.ceil(n * risk), n, limit)), 1)


def before_depth(count: Array, share: Array, of: str, delta: float, alpha: float) -> Array:
    """The thresholds before. net: the point estimate; loss: Hoeffding-Bentkus down a grid of 101 thresholds."""
    sums = promises.kept(count)
    if of == "net":
        return ((sums.lost - sums.won) / sums.questions <= delta + 1e-12).argmax(-1)
    passed = hoeffding_bentkus(sums.lost / sums.questions, np.asarray(sums.questions), delta) <= alpha
    on_grid = np.ones(passed.shape, bool)
    if passed.shape[-1] > 12:  # a continuous signal: the grid's thresholds alone
        step = np.floor(share * 100)
        on_grid[:, :-1] = step[:, :-1] > step[:, 1:]
    passed = np.logical_and.accumulate((passed | ~on_grid)[:, ::-1], -1)[:, ::-1] & on_grid
    return np.where(passed.any(-1), passed.argmax(-1), passed.shape[-1] - 1)


def promised(draws: int, delta: float = 0.02, alpha: float = 0.1) -> None:
    rng = np.random.default_rng(2)
    middle = (np.arange(200_000) + 0.5) / 200_000
    heads = ("net: broken before", "after", "kept after", "loss: broken before", "after", "kept before", "after")
    print("| world | signal | n | " + " | ".join(heads) + " |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, (loses, wins) in worlds(delta).items():
        true = {"net": np.cumsum(loses(middle) - wins(middle)) / 200_000, "loss": np.cumsum(loses(middle)) / 200_000}
        for discrete in (False, True):
            for n in (100, 240, 1000):
                u = rng.random((draws, n))
                x = rng.random((draws, n))
                outcome = np.where(x < loses(u), 1, np.where(x < loses(u) + wins(u), 2, 3))
                count, share = levels_of(u, outcome, discrete)
                tested = promises.candidates(count.sum(-1))
                cells = []
                for of in ("net", "loss"):
                    after = promises.chosen_depth(count, of, delta, alpha, tested)
                    depths = (before_depth(count, share, of, delta, alpha), after)
                    kept = [np.take_along_axis(share, d[:, None], 1)[:, 0] for d in depths]
                    broken = [(np.interp(k, middle, true[of], left=0) > delta * (1 + 1e-6)).mean() for k in kept]
                    cells += [f"{b:.3f}" for b in broken]
                    cells += [f"{k.mean():.2f}" for k in (kept[1:] if of == "net" else kept)]
                print(
                    f"| {name} | {'11 values' if discrete else 'continuous'} | {n} | {' | '.join(cells)} |", flush=True
                )


def sizes(_: int, alpha: float = 0.1) -> None:
    """Least number of calibration questions at which given rates pass."""
    print("| promise | seen | before | after |")
    print("|---|---|---:|---:|")
    for delta, lost in ((0.02, 0), (0.02, 0.005), (0.02, 0.01), (0.02, 0.015), (0.05, 0.02)):
        old = promises._least(lambda n: float(hoeffding_bentkus(np.array(lost), n, delta)) <= alpha)  # noqa: B023
        new = promises._least(lambda n: float(promises._binomial(lost * n, n, delta)) <= alpha)  # noqa: B023
        print(f"| loss <= {delta:g} | {lost:g} lost | {old:,.0f} | {new:,.0f} |")
    for delta, lost, won in ((0.02, 0.01, 0.01), (0.02, 0.03, 0.03), (0.02, 0.03, 0.02), (0.02, 0.05, 0.06)):
        share = np.array([[0, 0, 0, 0], [0, lost, won, 1 - lost - won]]) * 1_000_000
        need = promises.shortfall(share.astype(int), "net", delta, alpha, np.array([False, True, False]))
        print(f"| net drop <= {delta:g} | {lost:g} lost, {won:g} won | none (point estimate) | {need.questions:,.0f} |")
    for target, right in ((0.9, 1.0), (0.9, 0.95), (0.9, 0.92), (0.95, 0.98)):
        old = promises._least(lambda n: float(hoeffding_bentkus(np.array(1 - right), n, 1 - target)) <= alpha / 5)  # noqa: B023
        new = promises._least(
            lambda n: float(promises._binomial((1 - right) * n, n, 1 - target)) <= alpha / promises.STARTS  # noqa: B023
        )
        print(f"| kept accuracy >= {target:g} | {right:g} right | {old:,.0f} kept | {new:,.0f} kept |")


if __name__ == "__main__":
    commands = {"ece": ece, "change": change, "promises": promised, "sizes": sizes}
    if sys.argv[1:2] not in [[name] for name in commands]:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
