"""How often the drift test raises a false alarm, and after how many questions it sees a change of five points.

    python benchmarks/drift.py

The deferral rate is 0.40, then 0.45. Calibration questions are drawn anew for each stream. The test is that of
serve.drift_false_alarm=0.01 with one dataset and one worker (half of the rate for each of its two tests), looked at
every 20 questions.
"""

from __future__ import annotations

import argparse

import numpy as np

from corea.cascade.drift_tests import ChangeTest

EVERY = 20
RATE, LATER = 0.40, 0.45


def first_alarm(known: int, change: int, questions: int, streams: int, alpha: float, seed: int = 0) -> np.ndarray:
    """[streams] question of the first alarm, inf without one. The rate changes after `change` questions."""
    rng = np.random.default_rng(seed)
    test = ChangeTest(rng.multinomial(known, [1 - RATE, RATE], streams))
    first = np.full(streams, np.inf)
    for at in range(EVERY, questions + 1, EVERY):
        rate = RATE if at <= change else LATER
        wealth = test.add(rng.multinomial(EVERY, [1 - rate, rate], streams))
        first[(wealth >= np.log(1 / alpha)) & np.isinf(first)] = at
        if np.isfinite(first).all():
            break
    return first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--false-alarm", type=float, default=0.01)
    alpha = parser.parse_args().false_alarm / 2
    print("calibration questions | alarms of 1,000 unchanged streams | change after | seen after: median, 90 % | seen")
    for known in (500, 2000, 10_000):
        unchanged = first_alarm(known, 10_000, 10_000, 1000, alpha)
        for change in (0, 5000):
            delay = first_alarm(known, change, change + 20_000, 200, alpha, seed=1) - change
            late = np.sort(np.where(delay > 0, delay, np.inf))
            seen = np.isfinite(late).mean()
            alarms, delays = np.isfinite(unchanged).sum(), f"{late[99]:,.0f}, {late[179]:,.0f}"
            print(f"{known:,} | {alarms} | {change:,} | {delays} | {seen:.0%}")


if __name__ == "__main__":
    main()
