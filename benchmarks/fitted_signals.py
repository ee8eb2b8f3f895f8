"""How often a promise is broken where the signal is a probe that is fitted on calibration questions.

    python benchmarks/fitted_signals.py [draws]

Each draw makes 300 calibration questions with hidden states of 128 dimensions, one of which tells how likely the answer
is right; fits the probe; chooses the threshold of `guarantee` (loss, delta .05, alpha .1); and measures the loss on
20,000 new questions. Before: thresholds are chosen on all calibration questions by their out-of-fold scores, but new
questions are scored by one fit on all of them. After: the probe is fitted on one half, the threshold is chosen on the
other half. The LLM is always right, so that each wrong answer that is kept is a loss.
"""

from __future__ import annotations

import sys

import numpy as np

from corea.cascade.promised_threshold import Promise, thresholds_that_hold
from corea.collecting.confidence_signals import predicted
from corea.metrics.levels import grouped

QUESTIONS, DIMENSIONS, NEW = 300, 128, 20_000
PROMISE = Promise(of="loss", target=0.05, alpha=0.1)


def questions(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states [n, DIMENSIONS] and verdicts [n]."""
    states = rng.normal(size=(n, DIMENSIONS))
    return states, rng.random(n) < 1 / (1 + np.exp(-(2.5 * states[:, 0] + 1.5)))


def loss(fit: np.ndarray, choose: np.ndarray, rng: np.random.Generator) -> float:
    """True loss of the threshold, 0 without one; `fit` and `choose` [QUESTIONS]: questions to fit and to choose on."""
    states, right = questions(QUESTIONS, rng)
    new_states, new_right = questions(NEW, rng)
    known = np.concatenate([fit, np.zeros(NEW, bool)])
    score = predicted("probe", np.concatenate([states, new_states]), np.concatenate([right, new_right]), known, seed=0)
    scored, new = score[:QUESTIONS][choose], score[QUESTIONS:]
    ones = np.ones(int(choose.sum()))
    levels = grouped(scored, right[choose], ones.astype(bool), ones, ones)
    threshold = float(thresholds_that_hold(levels, levels.observed, PROMISE, []))
    return 0.0 if np.isnan(threshold) else float(((new >= threshold) & ~new_right).mean())


def broken(half: bool, draws: int) -> float:
    """Share of draws whose true loss is above the promised one."""
    first = np.arange(QUESTIONS) % 2 == 0
    every = np.ones(QUESTIONS, bool)
    fit, choose = (first, ~first) if half else (every, every)
    rngs = (np.random.default_rng(seed) for seed in range(draws))
    return float(np.mean([loss(fit, choose, rng) > PROMISE.target for rng in rngs]))


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    print("| | promise broken |\n|---|---:|")
    for name, half in (("before", False), ("after", True)):
        print(f"| {name} | {broken(half, number):.3f} |", flush=True)
