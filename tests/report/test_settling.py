"""How many more questions settle a promise, against the normal approximation and against tables of that size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from answer_tables import config
from corea.evaluation.pipeline import run_evaluation
from corea.metrics.figures import Figure
from corea.report.advice import advice
from corea.report.settling import questions_to_settle, rounded, settles, settling_words

DELTA = 0.02


def change(value: float, low: float, high: float, n: int = 400) -> Figure:
    return Figure(value=value, low=low, high=high, n=n)


@pytest.mark.parametrize(
    ("figure", "kept"),
    [
        (change(-0.01, -0.02, 0.0), True),
        (change(-0.04, -0.06, -0.021), False),
        (change(-0.01, -0.03, 0.01), None),
        (change(-0.01, math.nan, math.nan), None),
    ],
)
def test_an_interval_on_one_side_of_the_allowed_drop_settles_it(figure, kept):
    assert settles(figure, DELTA) is kept


def test_by_hand():
    # the low end is .03 below the value and has to come within .01: a third, so nine times 400 questions
    assert questions_to_settle(change(-0.01, -0.04, 0.02), DELTA) == 3200
    # the drop breaks the promise: the high end is .04 above the value and has to come within .02
    assert questions_to_settle(change(-0.04, -0.08, 0.0), DELTA) == 1200
    assert questions_to_settle(change(-0.02, -0.04, 0.0), DELTA) is None
    assert questions_to_settle(change(-0.01, -0.02, 0.0), DELTA) is None


def test_the_words_give_the_number_or_say_that_none_would_do():
    open_ = "the test questions leave a drop of at most 2 points open"
    assert settling_words(change(-0.01, -0.04, 0.02), DELTA) == (
        f"{open_}: about 3,200 more would settle it at the measured change"
    )
    assert settling_words(change(-0.02, -0.04, 0.0), DELTA) == (
        f"{open_}, and no practical number of them would settle it"
    )
    assert settling_words(change(0.0, -0.01, 0.01), DELTA) == "the test questions confirm a drop of at most 2 points"
    assert settling_words(change(0.0, math.nan, math.nan), DELTA) == ""


def test_orders_of_magnitude_are_rounded_upwards():
    assert [rounded(n) for n in (7, 95, 101, 1234, 99_500)] == [7, 95, 110, 1300, 100_000]


def table(folder: Path, times: int) -> Path:
    """`times` copies of 400 test questions, on 12 of which the cascade loses and on 8 of which it wins, and 2,000
    calibration questions on which it loses nothing."""
    outcome = np.zeros(400, int)
    outcome[:12], outcome[12:20] = 1, 2
    rows = []
    for copy in range(times):
        for i, kind in enumerate(outcome):
            rows.append((f"t{copy}-{i}", "test", kind != 1, kind != 2))
    rows += [(f"c{i}", "calibration", True, True) for i in range(2000)]
    small = pd.DataFrame(rows, columns=["question_id", "split", "slm", "llm"])
    parts = [
        small.assign(tier=0, correct=small["slm"], confidence=0.9, cost_usd=1e-6),
        small.assign(tier=1, correct=small["llm"], confidence=np.nan, cost_usd=1e-4),
    ]
    path = folder / f"answers{times}.parquet"
    pd.concat(parts).assign(dataset="d").drop(columns=["slm", "llm"]).to_parquet(path, index=False)
    return path


def test_as_many_questions_as_the_normal_approximation_needs_and_a_table_of_that_size_settles_it(tmp_path: Path):
    cfg = config(table(tmp_path, 1), rule="max_drop", resamples=2000, delta=DELTA, compare=False)
    results = run_evaluation(cfg)
    found = results.first.point("max_drop").figures["accuracy_change"]
    assert found.value == pytest.approx(-0.01)
    # without the code under test: losses -1, wins +1, the others 0; 1.96 standard errors at -.01 must end at -.02
    differences = np.array([-1] * 12 + [1] * 8 + [0] * 380)
    needed = math.ceil((1.959964 * differences.std() / (differences.mean() + DELTA)) ** 2)
    more = questions_to_settle(found, DELTA)
    assert more == pytest.approx(needed - 400, rel=0.15)
    assert f"about {rounded(more):,} more would settle it" in advice(results)[0]

    times = -(-needed // 400)  # so many copies are just enough, half as many are not
    ends = {}
    for copies in (times + 1, times // 2):
        part = config(table(tmp_path, copies), rule="max_drop", resamples=1000, delta=DELTA, compare=False)
        ends[copies] = run_evaluation(part).first.point("max_drop").figures["accuracy_change"].low
    assert ends[times + 1] >= -DELTA > ends[times // 2]
