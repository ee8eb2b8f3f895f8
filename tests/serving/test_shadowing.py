"""Shadowed questions are a seeded share of the kept ones, and the recorded probability is the true one."""

import json

import pytest
from served_records import kept, served_tier

from corea.config.serve_watch_schema import ServeWatchConfig
from corea.serving.shadowing import Shadow


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shadow(tmp_path, clock=None, workers=1, call_usd=0.0, **cfg) -> Shadow:
    defaults = {"shadow_share": 0.05, "shadow_per_minute": None, "log_folder": str(tmp_path)}
    cfg = ServeWatchConfig(**(defaults | cfg))
    return Shadow(cfg, call_usd=call_usd, workers=workers, clock=clock or Clock())


def drawn(shadow: Shadow, count: int, start: int = 0) -> list[tuple[bool, float]]:
    return [shadow.draw(f"r{n}") for n in range(start, start + count)]


def test_about_the_share_is_drawn_and_the_same_questions_again_with_the_same_seed(tmp_path):
    first, again, other = (drawn(shadow(tmp_path, shadow_seed=seed), 4000) for seed in (0, 0, 1))
    assert first == again != other
    assert 160 <= sum(s for s, _ in first) <= 240  # 200 expected, standard deviation 13.8
    assert {p for _, p in first} == {0.05}


def test_without_a_share_nothing_is_drawn(tmp_path):
    assert set(drawn(shadow(tmp_path, shadow_share=0.0), 100)) == {(False, 0.0)}


def test_the_rate_of_each_minute_is_bounded_and_the_probability_says_so(tmp_path):
    clock = Clock()
    one = shadow(tmp_path, clock, shadow_share=1.0, shadow_per_minute=3)
    assert drawn(one, 5) == [(True, 1.0)] * 3 + [(False, 0.0)] * 2
    clock.now = 60.0
    assert drawn(one, 5, 5) == [(True, 1.0)] * 3 + [(False, 0.0)] * 2


@pytest.mark.parametrize(("workers", "per_minute", "minutes", "most"), [(2, 6, 4, 12), (2, 1, 4, 2), (1, 0.5, 4, 2)])
def test_a_worker_has_its_part_of_the_rate(tmp_path, workers, per_minute, minutes, most):
    clock = Clock()
    one = shadow(tmp_path, clock, workers, shadow_share=1.0, shadow_per_minute=per_minute)
    found = 0
    for second in range(60 * minutes):
        clock.now = second + 0.5
        found += one.draw(f"r{second}")[0]
    assert found == most


def test_the_recorded_probability_is_the_share_of_draws_even_where_the_rate_is_often_reached(tmp_path):
    """Horvitz-Thompson: the drawn questions, each divided by its probability, count the questions with one."""
    clock = Clock()
    one = shadow(tmp_path, clock, shadow_share=0.2, shadow_per_minute=5)
    estimate = possible = 0.0
    for n in range(20_000):
        clock.now = n * 0.6  # 100 questions per minute
        was, probability = one.draw(f"r{n}")
        possible += probability > 0
        estimate += was / probability if probability else 0.0
    assert 2000 < possible < 10_000
    assert estimate == pytest.approx(possible, abs=4 * (possible * 4) ** 0.5)  # variance (1 - p) / p each


def test_dollars_are_bounded_over_workers_and_restarts(tmp_path):
    def worker() -> Shadow:
        return shadow(tmp_path, workers=2, call_usd=1.0, shadow_share=1.0, shadow_usd=5.0)

    a, b = worker(), worker()
    found = [one.draw(f"{name}{n}") for n in range(5) for name, one in (("a", a), ("b", b))]
    assert sum(s for s, _ in found) == 4  # a fifth could meet one of the other worker
    assert found[4:] == [(False, 0.0)] * 6
    for name, one in (("a0", a), ("b0", b)):
        one.observe(kept(name, shadow=True, tiers=(served_tier(0, 0.9), served_tier(1, cost_usd=0.25))))
    assert b.draw("b9") == (True, 1.0)  # 2.5 dollars spent and held
    assert worker().draw("c") == (False, 0.0)  # the three open ones count in full
    lines = [json.loads(line) for line in (tmp_path / "shadow_spending.jsonl").read_text().splitlines()]
    assert sum(line.get("usd", 0) for line in lines) == 0.5


def test_a_cost_that_is_unknown_counts_in_full(tmp_path):
    one = shadow(tmp_path, call_usd=1.0, shadow_share=1.0, shadow_usd=1.5)
    assert one.draw("a") == (True, 1.0)
    one.observe(kept("a", shadow=True, tiers=(served_tier(0, 0.9), served_tier(1))))
    assert one.draw("b") == (False, 0.0)


def test_shadowing_needs_a_log():
    with pytest.raises(ValueError, match=r"serve\.shadow_share=0\.1: allowed is 0, or a share together with"):
        ServeWatchConfig(shadow_share=0.1)
