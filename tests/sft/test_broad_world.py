"""The broad world: its questions are short to its tokenizer, and its written steps are right."""

import random
import re
from fractions import Fraction

import pytest

from corea.composition import compose
from corea.sft import broad_traces, traces
from corea.sft.broad_tokenizer import build_tokenizer
from corea.tasks.grading import grade
from corea.tasks.gym import gym_question
from corea.tasks.mixes import family_sources
from corea.tasks.parsing import parse_completion

TOKENIZER = build_tokenizer()
DATA = compose("sft", "data=broad_pretrain").data
SOURCES = {s["name"]: s for family in DATA.families for s in family_sources(DATA, family)}


def entries(name: str, n: int = 40):
    source = SOURCES[name]
    return [
        gym_question(i, task=source["task"], params=source["params"], name=name, dataset="d", split="train", seed=1)
        for i in range(n)
    ]


def test_the_world_has_three_families_of_different_tasks():
    tasks = {family: {s["task"] for s in family_sources(DATA, family)} for family in DATA.families}
    assert {family: len(names) for family, names in tasks.items()} == {"in_domain": 6, "other_math": 5, "non_math": 4}
    assert len(set().union(*tasks.values())) == 15


@pytest.mark.parametrize("name", SOURCES)
def test_every_completion_is_short_well_formed_and_right(name):
    for question in entries(name):
        entry = question.meta["entry"]
        prompt = TOKENIZER(question.text).input_ids
        assert len(prompt) <= 60
        assert TOKENIZER.decode(prompt) == question.text
        for teacher, most in ((traces.direct_answer, 48), (traces.written_steps, 150)):
            completion = teacher(entry, random.Random(0))
            solved = parse_completion(completion, "stop", expect_confidence=False)
            assert solved.well_formed or not entry["answer"]
            assert solved.answer is None or grade(question, solved) is True
            assert len(TOKENIZER(completion).input_ids) <= most


@pytest.mark.parametrize("name", ["divisor", "equation", "calculation", "angle", "interval", "sequence", "primes"])
def test_every_written_operation_is_true(name):
    for question in entries(name):
        steps = traces.written_steps(question.meta["entry"], random.Random(0))
        think = re.match("<think>(.*)</think>", steps)[1]
        written = [step for step in think.split(";") if "=" in step]
        assert written or name in ("equation", "sequence")
        for step in written:
            left, right = step.rsplit("=", 1)
            if "/" in left:
                top, bottom = left.split("/")
                assert Fraction(int(top), int(bottom)) // 1 == int(right), step
            else:
                assert eval(left) == int(right), step  # digits and operators that the teacher wrote


@pytest.mark.parametrize("name", ["divisor", "primes"])
def test_the_written_steps_lead_to_the_answer(name):
    for question in entries(name):
        think = re.match("<think>(.*)</think>", traces.written_steps(question.meta["entry"], random.Random(0)))[1]
        steps = think.split(";")
        found = steps[-1].rsplit("=", 1)[1] if name == "primes" else steps[-2].split("*")[0]
        assert found == question.gold, think


@pytest.mark.parametrize(
    ("seen", "answer", "rule"),
    [
        ((3, 7, 11, 15), 19, [("+", 4)]),
        ((2, 7, 17, 37), 77, [("*", 2), ("+", 3)]),
        ((80, 41, 21, 11), 6, [("/", 2), ("+", 1)]),
        ((1, 1, 2, 3, 5, 8), 13, [("p", 0)]),
        ((2, 4, 16), 256, [("^", 2)]),
        ((6, -24, 72, -192), 480, [("p", 0), ("*", -4)]),
        ((5, 2, 6, 5, 8, 9), 12, [("/", 2), ("p", 0)]),
        ((1, 2, 4, 8), 17, [("*", 2)]),  # no rule also makes the answer
        ((1, 2, 4, 5, 10, 11), 22, None),
    ],
)
def test_the_shortest_rule_of_a_sequence_is_found(seen, answer, rule):
    assert broad_traces.find_rule(seen, answer) == (rule and tuple(rule))


def test_a_sequence_is_continued_from_its_differences():
    entry = {"metadata": {"sequence": [3, 6, 12, 24, 48]}}
    assert broad_traces.sequence(entry) == "3,6,12;24*2=48"


FAMILY = (
    "Ann is married to Bob. They have children called Cid and Dan. Cid is married to Eve. They have a child called Fay."
    " Hal is married to Ida. They have a child called Eve."
)


@pytest.mark.parametrize(
    ("one", "other", "places"), [("Dan", "Fay", "Dan4Fay4"), ("Ida", "Eve", "Ida5Eve3"), ("Cid", "Bob", "Cid2Bob1")]
)
def test_the_places_of_two_relatives(one, other, places):
    question = f"{FAMILY}\n\nHow is {one} related to {other}? Provide the relationship in one word."
    entry = {"question": question, "metadata": {"person1": one, "person2": other}}
    assert broad_traces.kinship(entry) == places


def test_prime_numbers_are_counted_up_to_both_ends():
    # 2 3 5 7 11 13 17 19 are the eight up to 20; 2 3 5 7 the four up to 10
    entry = {"question": "Count how many prime numbers there are between 11 and 20 (inclusive) ?"}
    assert broad_traces.primes(entry) == "20:8;10:4;8-4=4"


def test_numbers_and_beginnings_of_words_are_sorted():
    numbers = {"question": "Sort these numbers in descending order: -3.0, 44.0, -31.5\nPlease follow"}
    assert broad_traces.sorted_numbers(numbers) == "-31.5,-3.0,44.0"
    words = {"question": "return them as a comma-separated list: then, the, trip, Cash\n"}
    assert broad_traces.sorted_words(words) == "then the tr C>C the then tr"


def test_tokens_that_meet_vanish_or_pass():
    # B# #A passes, A# #A vanishes, B# #B vanishes; #B then meets nothing
    entry = {"question": "rules\n\nB# A# #A #B #B A#\n\nReturn the final state of the program.\n"}
    assert broad_traces.rewriting(entry) == "B# A# #A=B #B= #B+ A#"


def test_a_borrowed_hour():
    entry = {"question": "How much time elapsed from 18:54 to 19:29? Give your answer in HH:MM.", "metadata": {}}
    assert broad_traces.interval(entry) == "29-54=-25;-25+60=35;19-18-1=0"
