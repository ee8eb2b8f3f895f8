"""Alarms: once a window, with the remedy."""

import pytest

from corea.rl.run.alarms import WINDOW, Alarms, NarrowBand


def figures(spread, between):
    return {"confidence/std": spread, "confidence/mean": 0.8, "confidence/distinct": 2.0, "pass_rate/std": between}


def test_a_collapse_is_reported_once_per_window_with_the_remedy():
    alarm = NarrowBand()
    assert [alarm.check(figures(0.3, 0.3)) for _ in range(12)] == [None] * 12
    warnings = [w for _ in range(25) if (w := alarm.check(figures(0.01, 0.3))) is not None]
    assert len(warnings) == 2
    assert "trainer.temperature" in warnings[0]


def test_equally_hard_questions_are_named_as_the_cause():
    alarm = NarrowBand()
    warnings = [w for _ in range(10) if (w := alarm.check(figures(0.01, 0.02))) is not None]
    assert "equally hard" in warnings[0]


def test_no_confidence_at_all_is_no_collapse():
    alarm = NarrowBand()
    assert all(alarm.check(figures(float("nan"), 0.3)) is None for _ in range(20))


HEALTHY = {
    "confidence/std": 0.2,
    "confidence/mean": 0.6,
    "confidence/distinct": 9.0,
    "confidence/top_share": 0.4,
    "confidence/share_0": 0.1,
    "confidence/share_1": 0.1,
    "pass_rate/std": 0.3,
    "entropy": 0.5,
    "truncated_share": 0.0,
    "missing_confidence_share": 0.0,
}


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"confidence/top_share": 0.97}, "trainer.credit=expected"),
        ({"confidence/share_0": 0.5, "confidence/share_1": 0.47}, "proper rule"),
        ({"entropy": 0.02}, "trainer.loss.kl"),
        ({"truncated_share": 0.6}, "model.max_tokens"),
        ({"missing_confidence_share": 0.6}, "cold start"),
    ],
)
def test_each_names_its_remedy_after_a_window_of_bad_steps(changes, remedy):
    alarms = Alarms()
    assert [alarms.check(HEALTHY) for _ in range(WINDOW)] == [[]] * WINDOW
    heard = [w for _ in range(2 * WINDOW) for w in alarms.check(HEALTHY | changes)]
    assert 1 <= len(heard) <= 2
    assert all(remedy in w for w in heard)


def test_one_bad_step_is_no_alarm():
    alarms = Alarms()
    heard = [alarms.check(HEALTHY | ({"entropy": 0.0, "truncated_share": 1.0} if k == 15 else {})) for k in range(40)]
    assert heard == [[]] * 40
