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


@pytest.mark.parametrize("name", ["divisor", "equation", "calculation", "angle", "interval", "sequence"])
def test_every_written_operation_is_true(name):
    for question in entries(name):
        steps = traces.written_steps(question.meta["entry"], random.Random(0))
        think = re.match("<think>(.*)</think>", steps)[1].split(":")[-1]
        for step in filter(None, think.split(";")):
            left, right = step.rsplit("=", 1)
            if "/" in left:
                top, bottom = left.split("/")
                assert Fraction(int(top), int(bottom)) // 1 == int(right), step
            else:
                assert eval(left) == int(right), step  # digits and operators that the teacher wrote


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        ([3, 7, 11, 15], ("*", 1, 4)),
        ([2, 7, 17, 37], ("*", 2, 3)),
        ([80, 41, 21, 11], ("/", 0, 1)),
        ([1, 2, 3, 5, 8], ("p", 0, 0)),
        ([1, 2, 4, 5, 10, 11], None),
    ],
)
def test_the_rule_of_a_sequence_is_found(seen, rule):
    assert broad_traces.find_rule(seen) == rule


def test_the_path_between_two_relatives():
    question = (
        "Ann is married to Bob. They have children called Cid and Dan. Cid is married to Eve. They have a child "
        "called Fay.\n\nHow is Dan related to Fay? Provide the relationship in one word."
    )
    entry = {"question": question, "metadata": {"person1": "Dan", "person2": "Fay"}}
    assert broad_traces.kinship(entry) == "Dan^Ann/Cid/Fay"


def test_tokens_that_meet_vanish_or_pass():
    # B# #A passes, A# #A vanishes, B# #B vanishes; #B then meets nothing
    entry = {"question": "rules\n\nB# A# #A #B #B A#\n\nReturn the final state of the program.\n"}
    assert broad_traces.rewriting(entry) == "B# A# #A=B #B= #B+ A#"


def test_a_borrowed_hour():
    entry = {"question": "How much time elapsed from 18:54 to 19:29? Give your answer in HH:MM.", "metadata": {}}
    assert broad_traces.interval(entry) == "29-54=-25;-25+60=35;19-18-1=0"
