"""Measure how the time of an evaluation grows with the number of questions: python benchmarks/cascade_scale.py [sizes]

Sizes are 1e3 to 1e6 by default, three in ten questions to calibrate. Each evaluation covers every observed threshold, a
bootstrap of the whole curve, and every rule with an interval that includes its choice, made anew on each resample.
Afterwards the whole command `python -m corea.evaluate` runs on 1,319 questions.

Each size runs in a separate process, so that seconds include the imports and memory is the peak of that size. Processor
seconds are printed besides wall-clock seconds, because other programs on the machine disturb them less. The plain loop
recomputes accuracy and cost at each threshold; its time is measured for one threshold and multiplied by the thresholds
and resamples of the evaluation. Growth is the factor from the size before; a plain loop over questions grows by 10.
"""

from __future__ import annotations

import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = ("1e3", "1e4", "1e5", "1e6")
THRESHOLDS, RESAMPLES = 1001, 1000
ROWS = 1319
"""Questions of the whole command: as many as in the test set of GSM8K."""


def measure(questions: int) -> None:
    """Print one size: total seconds and processor seconds, seconds of one plain loop, thresholds, peak GiB."""
    start = time.perf_counter()
    import numpy as np

    from corea.answers.pairs import Pairs
    from corea.config.cascade_schema import CascadeConfig
    from corea.evaluation.dataset import evaluate_dataset

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
    known = np.arange(questions) % 10 < 3
    cfg = CascadeConfig(name="benchmark", rule="max_drop", resamples=RESAMPLES)
    table = evaluate_dataset("all", pairs.where(~known), pairs.where(known), None, cfg).sweep
    seconds, used = time.perf_counter() - start, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    tried = table["threshold"].iloc[:: max(1, len(table) // 20)]
    loop = time.process_time()
    for threshold in tried:
        deferred = ~(confidence >= threshold)
        np.where(deferred, pairs.llm_correct, pairs.slm_correct).mean()
        (pairs.slm_cost + deferred * pairs.llm_cost).mean()
    once = (time.process_time() - loop) / len(tried)
    print(seconds, used, once, len(table), peak)


def growth(sizes: list[str]) -> None:
    """Print a Markdown table with one row per size."""
    heads = ("questions", "thresholds", "resamples", "seconds", "processor seconds", "peak GiB", "growth")
    print("| " + " | ".join((*heads, "plain loops, processor seconds", "ratio")) + " |")
    print("|---:" * 9 + "|")
    before = None
    for size in sizes:
        questions = int(float(size))
        command = [sys.executable, __file__, "--measure", str(questions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, used, once, thresholds, peak = map(float, done.stdout.split())
        loops = once * thresholds * (RESAMPLES + 1)
        factor = f"x {used / before:.1f}" if before else "–"
        print(
            f"| {questions:,} | {thresholds:,.0f} | {RESAMPLES:,} | {seconds:.1f} | {used:.1f} | {peak:.2f} | {factor} "
            f"| {loops:,.0f} | {loops / used:,.0f} |",
            flush=True,
        )
        before = used


def whole_command() -> None:
    """Time `python -m corea.evaluate` on 1,319 questions of two tiers, from the shell to report.html."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.csv"
        rng = random.Random(0)
        with open(path, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["question_id", "tier", "split", "correct", "confidence", "cost_usd"])
            for i in range(ROWS):
                sure = rng.randrange(21) / 20
                split = "calibration" if i % 3 == 0 else "test"
                rows.writerow([f"q{i}", 0, split, int(rng.random() < sure), sure, 0.0001])
                rows.writerow([f"q{i}", 1, split, int(rng.random() < 0.9), "", 0.002])
        for flags in (["plots=true"], ["plots=false"]):
            command = [sys.executable, "-m", "corea.evaluate", f"answers={path}", "logger=none", *flags]
            before, start = os.times(), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            shown = f"{time.perf_counter() - start:.1f} s, {used:.1f} processor seconds"
            print(f"python -m corea.evaluate, {ROWS:,} questions, {flags[0]}: {shown}", flush=True)


CHAINS = ((3, 1_000_000), (5, 20_000), (5, 200_000), (8, 20_000))
"""Tiers and questions of the chains that are timed, 30 % of the questions for calibration."""


def measure_chains(tiers: int, questions: int) -> None:
    """All chains of `tiers` tiers: prints seconds, processor seconds, chains, peak GiB."""
    start = time.perf_counter()
    import numpy as np

    from corea.cascade.chain_results import measure_tiers
    from corea.cascade.chains import Stack, chains
    from corea.config.cascade_schema import CascadeConfig

    rng = np.random.default_rng(0)
    chance = np.clip(rng.beta(2, 1, questions) + np.linspace(-0.3, 0.25, tiers)[:, None], 0.02, 0.98)
    cost = np.geomspace(1e-5, 1e-3, tiers)[:, None] * rng.lognormal(0, 0.1, (tiers, questions))
    data = Stack(
        tiers=list(range(tiers)),
        confidence=np.clip(chance + rng.normal(0, 0.15, chance.shape), 0, 1),
        correct=rng.random(chance.shape) < chance,
        cost=cost,
        signal_cost=cost,
    )
    split = np.where(rng.random(questions) < 0.3, "calibration", "test")
    found = measure_tiers(data, split, CascadeConfig(name="benchmark", rule="max_drop"))
    assert found is not None
    seconds, used = time.perf_counter() - start, time.process_time()
    print(seconds, used, len(chains(tiers)), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def chain_table() -> None:
    """A Markdown table, one row per number of tiers and questions, each in a process of its own."""
    print("| tiers | questions | chains | seconds | processor seconds | peak GiB |")
    print("|" + "---:|" * 6)
    for tiers, questions in CHAINS:
        command = [sys.executable, __file__, "--measure-chains", str(tiers), str(questions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, used, count, peak = map(float, done.stdout.split())
        print(f"| {tiers} | {questions:,} | {count:.0f} | {seconds:.1f} | {used:.1f} | {peak:.2f} |", flush=True)


def main() -> None:
    """Growth with the questions, then the whole command; or the chains alone."""
    if sys.argv[1:2] == ["--chains"]:
        chain_table()
        return
    growth(sys.argv[1:] or list(SIZES))
    print()
    whole_command()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(int(sys.argv[2]))
    elif sys.argv[1:2] == ["--measure-chains"]:
        measure_chains(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
