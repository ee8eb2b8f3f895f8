"""Learning rates by hand."""

import pytest

from corea.config import OptimizerConfig
from corea.rl.update.schedule import learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
        ("cosine", [0.5, 1.0, 1.0, 0.96194, 0.85355, 0.69134, 0.5, 0.30866, 0.14645, 0.03806]),
    ],
)
def test_ten_steps_with_two_of_warm_up(schedule, expected):
    cfg = OptimizerConfig(lr=1.0, warmup=0.2, schedule=schedule)
    assert [learning_rate(s, 10, cfg) for s in range(10)] == pytest.approx(expected, abs=1e-5)


def test_the_warm_up_is_rounded_to_whole_steps():
    """0.29 * 100 is 28.999999999999996."""
    cfg = OptimizerConfig(lr=29.0, warmup=0.29)
    assert [learning_rate(s, 100, cfg) for s in (0, 27, 28, 29)] == pytest.approx([1.0, 28.0, 29.0, 29.0])


def test_no_warm_up():
    assert learning_rate(0, 10, OptimizerConfig(lr=3.0, warmup=0.0)) == 3.0
