"""A drift alarm is raised for a real change, shared by all workers, and stays until its file is removed."""

import json
import logging
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import betabinom
from served_records import deferred, kept, record, served_tier

from corea.cascade.drift_tests import ChangeTest, log_predictive
from corea.cascade.live_point import LivePoint, read_point
from corea.cascade.operating_point import categories, distribution
from corea.config.serve_watch_schema import ServeWatchConfig
from corea.serving.drift import Drift


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 2.0
        return self.now


def point(deferral=(400, 1000), spread=None) -> LivePoint:
    confidences = np.random.default_rng(0).random(1000) if spread is None else spread
    return LivePoint(
        dataset="sums",
        signal="verbalized",
        chain=(0, 1),
        thresholds=(0.5,),
        deciders=(0,),
        deferral=deferral,
        distribution=distribution(confidences),
    )


def watch(folder=None, points=None, **cfg) -> Drift:
    config = ServeWatchConfig(log_folder=None if folder is None else str(folder), **cfg)
    return Drift(config, points or [point()], clock=Clock())


def serve(drift: Drift, rate: float, count: int, seed: int = 0) -> int | None:
    """Serve questions of which a share `rate` is deferred; returns after how many there is an alarm."""
    rng = np.random.default_rng(seed)
    for number, low in enumerate(rng.random(count) < rate):
        drift.observe(deferred("r", 0.5 * rng.random()) if low else kept("r", 0.5 + 0.5 * rng.random()))
        if drift.alarm is not None:
            return number + 1
    return None


def test_the_predictive_probability_is_that_of_beta_binomial():
    counts, pseudo = np.array([7.0, 5.0]), np.array([2.5, 0.5])
    expected = betabinom.logpmf(7, 12, 2.5, 0.5) - np.log(792)  # 12 choose 7 orders
    assert log_predictive(counts, pseudo) == pytest.approx(expected)


def test_the_wealth_is_a_martingale():
    """Its mean over the next question, under the predictive of the null hypothesis, is the wealth before."""
    test = ChangeTest([30, 70])
    for counts in ([200, 100], [100, 300]):
        before = np.exp(test.add(np.array(counts)))
        chance = (test.known + test.seen) / (test.known + test.seen).sum()
        after = []
        for category in np.eye(2):
            one = ChangeTest([30, 70])
            one.starts, one.seen, one.next_start, one.questions = list(test.starts), test.seen, 10**9, test.questions
            after.append(np.exp(one.add(category)))
        here = ChangeTest([30, 70])
        here.starts, here.seen = list(test.starts), test.seen
        assert np.dot(chance, after) == pytest.approx(np.exp(here.log_wealth()))
        assert before == pytest.approx(np.exp(here.log_wealth()))


def test_a_changed_deferral_rate_raises_one_alarm_and_an_unchanged_one_none(tmp_path, caplog):
    assert serve(watch(tmp_path / "a"), 0.4, 1500) is None
    drift = watch(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert serve(drift, 0.6, 2000) < 600
    (line,) = [r.message for r in caplog.records if "deferral rate" in r.message or "distributed" in r.message]
    assert line.startswith("drift: sums: ")
    state = drift.state()
    assert state["alarm"] is True
    assert state["reason"] in line
    assert state["sends_all_to_llm"] is drift.sends_all_to_llm is False
    assert json.loads((tmp_path / "drift_alarm.json").read_text())["dataset"] == "sums"
    assert json.dumps(state)


def test_confidences_that_change_on_one_side_of_the_threshold_are_seen():
    drift = watch()
    rng = np.random.default_rng(1)
    for number in range(2000):
        low = number % 5 < 2  # the deferral rate stays 0.4
        drift.observe(deferred("r", 0.5 * rng.random()) if low else kept("r", 0.9 + 0.1 * rng.random()))
    assert drift.alarm["test"] == "confidence"


def test_an_alarm_counts_in_all_workers_until_its_file_is_removed(tmp_path):
    one, other = (watch(tmp_path, on_drift="llm") for _ in range(2))
    assert other.sends_all_to_llm is False
    assert serve(one, 0.9, 500) is not None
    assert one.sends_all_to_llm
    assert other.sends_all_to_llm
    assert watch(tmp_path, on_drift="llm").sends_all_to_llm  # after a restart
    (tmp_path / "drift_alarm.json").unlink()
    assert not one.sends_all_to_llm
    assert not other.alarmed
    assert one.state()["tests"]["sums"]["deferral"]["questions"] == 0
    assert serve(one, 0.9, 500) is not None


def test_requests_that_the_first_tier_did_not_decide_do_not_count():
    drift = watch()
    drift.observe(record("a", tier=1, reason="uncalibrated", tiers=(served_tier(1),)))
    drift.observe(record("b", tier=None, reason="slm_error", tiers=()))
    drift.observe(kept("c", dataset="other"))
    drift.observe(deferred("d", None, reason="missing"))
    tests = drift.state()["tests"]["sums"]
    assert tests["deferral"]["questions"] == tests["confidence"]["questions"] == 1
    assert tests["confidence"]["served"][-1] == 1.0  # missing


def test_zero_turns_it_off_and_an_old_operating_point_is_named(caplog):
    off = watch(drift_false_alarm=0.0)
    assert serve(off, 0.9, 500) is None
    old = LivePoint(dataset="old", signal="s", chain=(0, 1), thresholds=(0.5,), deciders=(0,))
    with caplog.at_level(logging.WARNING):
        assert watch(points=[old]).state()["tests"] == {"old": {}}
    assert "drift: dataset old: the operating point lacks confidence and deferral" in caplog.text


def test_the_distribution_counts_ties_and_missing_ones_exactly():
    values = np.array([np.nan] * 3 + [0.2] * 30 + [0.9] * 67)
    found = distribution(values)
    assert found["edges"] == [0.2, 0.9]
    assert found["counts"] == [0, 30, 67, 3]
    assert categories([0.1, 0.2, 0.5, 0.9, 1.0, np.nan], np.array(found["edges"])).tolist() == [0, 1, 1, 2, 2, 3]
    assert all(a < b for a, b in pairwise(found["edges"]))


def test_the_operating_point_file_gives_both_distributions(tmp_path):
    first = {"dataset": "d", "signal": "s", "recalibrate": "none", "thresholds": [0.5], "chain": [0, 1]}
    first |= {"expected": {"deferral_rate": {"value": 0.25, "n": 400}}, "distribution": {"0": {"counts": [1]}}}
    path = tmp_path / "operating_point.json"
    path.write_text(json.dumps({"schema": 1, "dataset": "d", "datasets": {"d": first}}))
    live = read_point(path).point("d")
    assert (live.deferral, live.distribution) == ((100, 400), {"counts": [1]})
