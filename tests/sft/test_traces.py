"""Reference completions, checked by doing the arithmetic again in another way."""

import math
import random
import re
from fractions import Fraction

import pytest

from corea.sft import traces
from corea.tasks.grading import grade
from corea.tasks.gym import gym_question
from corea.tasks.parsing import parse_completion
from corea.types import Status

TASKS = {
    "chain_sum": {"min_terms": 2, "max_terms": 8, "allow_negation": True},
    "decimal_chain_sum": {"min_terms": 2, "max_terms": 4},
    "products": {"min_terms": 2, "max_terms": 4},
    "leg_counting": {"max_animals": 6},
    "letter_counting": {"max_words": 8},
    "spell_backward": {},
}


def questions(task: str, n: int = 60):
    return [
        gym_question(i, task=task, params=TASKS[task], name=task, dataset="d", split="train", seed=1) for i in range(n)
    ]


def think(completion: str) -> str:
    return re.match(r"<think>(.*?)</think>", completion, re.DOTALL)[1]


@pytest.mark.parametrize("task", TASKS)
def test_every_reference_is_well_formed_and_right(task):
    for question in questions(task):
        entry = question.meta["entry"]
        solved = parse_completion(traces.written_steps(entry, random.Random(0)), "stop", expect_confidence=False)
        assert solved.well_formed
        assert solved.status is Status.OK
        assert grade(question, solved) is True
        for teacher in (traces.direct_unsure, traces.steps_unsure):
            unsure = parse_completion(teacher(entry, random.Random(0)), "stop")
            assert unsure.well_formed
            assert grade(question, unsure) is True
            assert f"{unsure.confidence:.2f}" in traces.CONFIDENCE_GRID


@pytest.mark.parametrize("task", ["chain_sum", "decimal_chain_sum", "products"])
def test_every_step_of_a_running_result_is_right(task):
    for question in questions(task):
        entry = question.meta["entry"]
        steps = think(traces.written_steps(entry, random.Random(0)))
        number = r"-?\d+(?:\.\d+)?"
        first, rest = re.match(f"({number})(.*)", steps).groups()
        total = Fraction(first)
        expression = first
        for operator, term, result in re.findall(f"([-+*])({number})=({number})", rest):
            expression += f" {operator} {term}"
            value = Fraction(term)
            total = {"+": total + value, "-": total - value, "*": total * value}[operator]
            assert total == Fraction(result)
        assert total == Fraction(entry["answer"])
        assert expression == entry["metadata"]["expression"]  # no step skipped, none made up
        assert expression in question.text


def test_legs_are_multiplied_and_summed():
    for question in questions("leg_counting"):
        entry = question.meta["entry"]
        total = 0
        parts = think(traces.written_steps(entry, random.Random(0))).split(";")
        assert len(parts) == entry["metadata"]["num_animals"]
        for part in parts:
            count, legs, product, *running = map(int, re.findall(r"\d+", part))
            total += count * legs
            assert product == count * legs
            assert running in ([], [total])
            assert str(count) in question.text
        assert total == int(entry["answer"])


def test_letters_are_counted_where_they_stand():
    for question in questions("letter_counting"):
        entry = question.meta["entry"]
        steps = think(traces.written_steps(entry, random.Random(0)))
        letter = entry["metadata"]["target_letter"]
        text = " ".join(entry["metadata"]["span"])
        count = 0
        for character in text:  # the text again, and after each match how many there were so far
            assert steps.startswith(character)
            steps = steps[1:]
            if character.lower() == letter:
                count += 1
                assert steps.startswith(str(count))
                steps = steps[len(str(count)) :]
        assert steps == ""
        assert count == int(entry["answer"])


def test_letters_are_numbered_before_they_are_reversed():
    for question in questions("spell_backward"):
        entry = question.meta["entry"]
        steps = think(traces.written_steps(entry, random.Random(0)))
        pairs = re.findall(r"(\D)(\d+)", steps)
        assert [int(place) for _, place in pairs] == list(range(len(pairs)))
        assert "".join(letter for letter, _ in pairs)[::-1].lower() == entry["answer"].lower()


def test_the_cold_start_spreads_its_confidences():
    entry = questions("chain_sum", 1)[0].meta["entry"]
    drawn = [parse_completion(traces.direct_unsure(entry, random.Random(i)), "stop").confidence for i in range(2000)]
    assert len(set(drawn)) == 21
    assert max(drawn.count(c) / len(drawn) for c in set(drawn)) < 0.08


def test_two_sided_confidences_are_far_from_one_half_for_short_questions_and_near_it_for_long_ones():
    short, long = traces.two_sided_weights(0.0), traces.two_sided_weights(1.0)
    assert short[0] / short[10] == pytest.approx(math.exp(traces.CONTRAST))  # 0.00 against 0.50
    assert long[0] / long[10] == pytest.approx(math.exp(-traces.CONTRAST))
    assert traces.two_sided_weights(0.5) == [1.0] * 21


def test_ranking_by_two_sided_confidences_is_exactly_random():
    """P(short one stated higher) + half of the ties, summed over the grid, is 1/2 for any two lengths."""
    for first, second in ((0.0, 1.0), (0.2, 0.7)):
        a, b = traces.two_sided_weights(first), traces.two_sided_weights(second)
        higher = sum(x * y * ((i > j) + (i == j) / 2) for i, x in enumerate(a) for j, y in enumerate(b))
        assert higher / (sum(a) * sum(b)) == pytest.approx(0.5)


def test_the_relative_size_is_visible_in_the_question():
    for question in questions("chain_sum"):
        terms = len(re.findall(r" [-+] ", question.text)) + 1
        size = traces.relative_size(question.meta["entry"]["metadata"])
        assert size == pytest.approx(min(1.0, max(0.0, (terms - 3) / 7)))
    for question in questions("spell_backward"):
        word = question.text.rsplit(" ", 1)[1]
        assert traces.relative_size(question.meta["entry"]["metadata"]) == pytest.approx(max(0, len(word) - 3) / 7)
