"""How the evaluation of a cascade grows: 1e3 to 1e6 questions, every observed threshold, bootstrap of the whole curve.

    python benchmarks/cascade_scale.py [sizes, e.g. 1e3 1e4]

Each size runs in a process of its own, so that seconds include the imports and memory is that size's peak. The plain
loop counts accuracy and cost anew at each threshold; its seconds are those of one threshold, timed, times thresholds
and resamples of the evaluation.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

SIZES = ("1e3", "1e4", "1e5", "1e6")
THRESHOLDS, RESAMPLES = 1001, 1000


def measure(questions: int) -> None:
    """One size: prints seconds in all, seconds of the plain loop for one threshold, thresholds, peak GiB."""
    start = time.perf_counter()
    import numpy as np

    from corea.cascade.bootstrap import resample
    from corea.cascade.levels import coarsen, group
    from corea.cascade.pairs import Pairs
    from corea.cascade.sweep import sweep

    rng = np.random.default_rng(0)
    confidence = rng.integers(0, THRESHOLDS, questions) / (THRESHOLDS - 1)
    blank = np.full(questions, "", object)
    pairs = Pairs(
        dataset=blank,
        question_id=blank,
        split=blank,
        confidence=confidence,
        status=blank,
        slm_correct=rng.random(questions) < confidence,
        llm_correct=rng.random(questions) < 0.9,
        slm_cost=rng.random(questions),
        llm_cost=10 * rng.random(questions),
        unit="usd",
    )
    levels = group(pairs)
    coarse = coarsen(levels)
    table = sweep(levels, coarse, resample(coarse, RESAMPLES, 0), 0.95, [])
    seconds = time.perf_counter() - start
    loop = time.perf_counter()
    for threshold in table["threshold"].iloc[:: max(1, len(table) // 20)]:
        deferred = ~(confidence >= threshold)
        np.where(deferred, pairs.llm_correct, pairs.slm_correct).mean()
        (pairs.slm_cost + deferred * pairs.llm_cost).mean()
    once = (time.perf_counter() - loop) / len(table.iloc[:: max(1, len(table) // 20)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(seconds, once, len(table), peak)


def main() -> None:
    """A Markdown table, one row a size."""
    print(
        "| questions | thresholds | resamples | seconds, imports included | peak GiB | plain loops, seconds | ratio |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for size in sys.argv[1:] or SIZES:
        questions = int(float(size))
        done = subprocess.run(
            [sys.executable, __file__, "--measure", str(questions)], capture_output=True, text=True, check=True
        )
        seconds, once, thresholds, peak = map(float, done.stdout.split())
        loops = once * thresholds * (RESAMPLES + 1)
        print(
            f"| {questions:,} | {thresholds:,.0f} | {RESAMPLES:,} | {seconds:.1f} | {peak:.2f} | {loops:,.0f} "
            f"| {loops / seconds:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    measure(int(sys.argv[2])) if sys.argv[1:2] == ["--measure"] else main()
