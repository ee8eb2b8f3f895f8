"""One question on its way through a chain, answer by answer."""

import pytest
from live_helpers import tier

from corea.cascade.decision import Reason
from corea.cascade.live_point import LivePoint
from corea.config import PriceConfig, RecordedEngineConfig
from corea.serving.route import Route, read_answer
from corea.types import Completion, Question

QUESTION = Question(id="a", dataset="d", source="d", split="", text="3 + 4?", gold="7")
PRICE = PriceConfig(input=1_000_000, output=2_000_000)


def point(thresholds=(0.7,), chain=(0, 1), deciders=None, signal="verbalized") -> LivePoint:
    places = deciders or tuple(range(len(thresholds)))
    return LivePoint(dataset="d", signal=signal, chain=chain, thresholds=thresholds, deciders=places)


def answer(number: int, text: str, reason: str = "stop", **more):
    return read_answer(a_tier(number), QUESTION, [completion(text, reason, **more)])


def a_tier(number: int, **more):
    return tier(number, "x", RecordedEngineConfig(), price=PRICE, expects_confidence=number < 2, **more)


def completion(text: str, reason: str = "stop", **more) -> Completion:
    return Completion(text=text, finish_reason=reason, **{"prompt_tokens": 3, "completion_tokens": 5, **more})


def stated(confidence: float, value: str = "7") -> str:
    return f"<think></think> <answer>{value}</answer> <confidence>{confidence}</confidence>"


def test_an_answer_at_the_threshold_is_kept():
    route = Route(QUESTION, point())
    assert route.tier == 0
    route.take(answer(0, stated(0.7)))
    assert (route.tier, route.done, route.reason, route.deferred) == (None, True, Reason.KEPT, False)
    assert (route.result.parsed.answer, route.result.tier, route.cost_usd) == ("7", 0, 13.0)


@pytest.mark.parametrize(
    ("text", "finish", "reason"),
    [
        (stated(0.69), "stop", Reason.LOW),
        ("<answer>7</answer>", "stop", Reason.MISSING),
        ("<think>so and", "length", Reason.TRUNCATED),
        ("<answer>7</answer> <confid", "length", Reason.TRUNCATED),
        ("", "error", Reason.SLM_ERROR),
    ],
)
def test_what_is_not_kept_goes_to_the_next_tier_with_its_reason(text, finish, reason):
    route = Route(QUESTION, point())
    route.take(answer(0, text, finish))
    assert (route.tier, route.result, route.reason) == (1, None, reason)
    route.take(answer(1, "<answer>8</answer>"))
    assert (route.tier, route.reason, route.result.parsed.answer, route.deferred) == (None, reason, "8", True)
    assert route.cost_usd == 26.0


def test_a_truncated_answer_is_deferred_however_probable_its_tokens():
    route = Route(QUESTION, point(signal="avg_prob"))
    route.take(answer(0, "<think>so and", "length", extra={"confidence_avg_prob": 0.99}))
    assert (route.tier, route.reason, route.confidences) == (1, Reason.TRUNCATED, {0: None})


def test_an_answer_without_tags_is_decided_by_its_confidence():
    route = Route(QUESTION, point(signal="avg_prob"))
    route.take(answer(0, "seven", extra={"confidence_avg_prob": 0.99}))
    assert (route.reason, route.result.parsed.answer, route.result.text) == (Reason.KEPT, None, "seven")


def test_three_tiers_are_asked_one_after_another():
    route = Route(QUESTION, point((0.7, 0.5), (0, 1, 2)))
    route.take(answer(0, stated(0.6)))
    route.take(answer(1, stated(0.4)))
    assert (route.tier, route.confidences) == (2, {0: 0.6, 1: 0.4})
    route.take(answer(2, "<answer>7</answer>"))
    assert (route.done, route.reason, list(route.answers)) == (True, Reason.LOW, [0, 1, 2])
    middle = Route(QUESTION, point((0.7, 0.5), (0, 1, 2)))
    middle.take(answer(0, stated(0.6)))
    middle.take(answer(1, stated(0.5)))
    assert (middle.done, middle.reason, middle.result.tier) == (True, Reason.KEPT, 1)


def test_a_tier_without_confidences_answers_for_good_or_is_skipped():
    chain = point((0.7, 0.5), (0, 1, 2), (0, 0))
    route = Route(QUESTION, chain)
    route.take(answer(0, stated(0.6)))
    route.take(answer(1, "<answer>7</answer>"))
    assert (route.done, route.result.tier, route.reason) == (True, 1, Reason.LOW)
    skipping = Route(QUESTION, chain)
    skipping.take(answer(0, stated(0.4)))
    assert skipping.tier == 2
    failing = Route(QUESTION, chain)
    failing.take(answer(0, stated(0.6)))
    failing.take(answer(1, "", "error"))
    assert (failing.tier, failing.reason) == (2, Reason.SLM_ERROR)


def test_a_question_outside_the_calibration_goes_to_the_last_tier():
    route = Route(QUESTION, point(), calibrated=False)
    assert route.tier == 1
    route.take(answer(1, "<answer>8</answer>"))
    assert (route.done, route.reason, route.result.tier, route.confidences) == (True, Reason.UNCALIBRATED, 1, {})


def test_a_chain_of_one_tier_keeps_every_answer():
    route = Route(QUESTION, point((), (4,)))
    assert route.tier == 4
    route.take(answer(4, "<answer>8</answer>"))
    assert (route.done, route.reason, route.result.tier) == (True, Reason.KEPT, 4)


def test_falling_back_takes_the_last_answer_that_did_not_fail():
    route = Route(QUESTION, point((0.7, 0.5), (0, 1, 2)))
    assert not route.fall_back(Reason.BUDGET)
    route.take(answer(0, stated(0.6)))
    route.take(answer(1, "", "error"))
    assert route.fall_back(Reason.BUDGET)
    assert (route.tier, route.result.tier, route.reason, route.result.parsed.answer) == (None, 0, Reason.BUDGET, "7")


def test_a_vote_counts_and_pays_all_samples():
    voting = a_tier(0, signals=("vote",), samples=4)
    samples = [completion(stated(0.9, value)) for value in ("7", "7 ", "8", "7")]
    found = read_answer(voting, QUESTION, samples)
    assert (found.raw["vote"], found.parsed.answer, found.cost_usd) == (0.75, "7", 52.0)
    assert found.tokens == {"prompt_tokens": 12, "cached_tokens": 0, "completion_tokens": 20}


def test_failed_attempts_are_part_of_the_cost_and_unknown_tokens_are_not_zero():
    paid = answer(0, stated(0.9), extra={"retry_prompt_tokens": 10, "retry_completion_tokens": 1})
    assert (paid.cost_usd, paid.tokens["prompt_tokens"]) == (13.0 + 10 + 2, 3)
    unknown = answer(0, stated(0.9), extra={"tokens": "unknown"})
    assert (unknown.cost_usd, unknown.tokens["prompt_tokens"]) == (None, None)
    route = Route(QUESTION, point())
    route.take(unknown)
    assert route.cost_usd is None
