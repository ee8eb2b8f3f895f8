"""Promises of thresholds on a fitted signal, by the simulation of benchmarks/fitted_signals.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from scipy.stats import binom

DRAWS = 80
SIMULATION = Path(__file__).parents[2] / "benchmarks" / "fitted_signals.py"


@pytest.mark.slow
def test_thresholds_on_a_probe_break_their_promise_at_most_as_often_as_alpha_allows() -> None:
    broken = runpy.run_path(str(SIMULATION))["broken"]
    most = binom.ppf(0.999, DRAWS, 0.1) / DRAWS
    assert broken(half=True, draws=DRAWS) <= most
