"""Graders on literals."""

from fractions import Fraction

import pytest

from corea.errors import UserError
from corea.tasks.grading import GRADERS, grade, read_choice, read_number
from corea.tasks.gym import gym_question
from corea.types import Parsed, Question, Status


def question(grader: str, gold: str, **meta) -> Question:
    return Question(id="q", dataset="d", source="s", split="test", text="?", gold=gold, grader=grader, meta=meta)


def answer(text: str | None, status: Status = Status.OK) -> Parsed:
    return Parsed(answer=text, confidence=0.5, status=status, well_formed=True)


@pytest.mark.parametrize("grader", GRADERS)
def test_no_answer(grader):
    asked = question(grader, "1", task="chain_sum", entry={"answer": "1", "metadata": {}})
    assert grade(asked, answer(None, Status.UNPARSED_ANSWER)) is False
    assert grade(asked, answer(None, Status.TRUNCATED)) is False
    assert grade(asked, answer(None, Status.ERROR)) is None
    assert grade(asked, answer("1" * 100_000)) is False


def test_unknown_grader():
    with pytest.raises(UserError, match="grader=vibes: allowed is exact, numeric"):
        grade(question("vibes", "1"), answer("1"))


@pytest.mark.parametrize(
    ("given", "gold", "correct"),
    [("a b", "a b", True), (" a \n b ", "a b", True), ("A b", "a b", False), ("a", "a b", False)],
)
def test_exact(given, gold, correct):
    assert grade(question("exact", gold), answer(given)) is correct


@pytest.mark.parametrize(
    ("given", "gold", "correct"),
    [
        ("18", "18", True),
        ("$18.00", "18", True),
        ("\\$18", "18", True),
        ("18 dollars", "18", True),
        ("1,234.50", "1234.5", True),
        ("20.00", "She pays 4*5=20\n#### 20", True),
        ("1/2", "0.5", True),
        ("-3", "3", False),
        ("0.1", "0.10000000000000001", False),
        ("18.5", "18", False),
        ("none", "18", False),
        ("1/0", "1", False),
        ("5.", "5", True),
    ],
)
def test_numeric(given, gold, correct):
    assert grade(question("numeric", gold), answer(given)) is correct


def test_read_number():
    assert read_number("3/4 of them") == Fraction(3, 4)
    assert read_number("from 3 to 12") == 12
    assert read_number("") is None


@pytest.mark.parametrize(
    ("given", "correct"),
    [
        ("B", True),
        ("(b)", True),
        ("B.", True),
        ("B) bank", True),
        ("bank", True),
        ("Bank.", True),
        ("A", False),
        ("library", False),
        ("Beyond doubt", False),
        ("", False),
    ],
)
def test_choice(given, correct):
    asked = question("choice", "B", options={"A": "library", "B": "bank"})
    assert grade(asked, answer(given or "?")) is correct


def test_the_text_of_an_option_may_begin_with_another_letter():
    assert read_choice("A dog.", {"A": "cat", "B": "a dog"}) == "B"
    assert read_choice("A dog", {"A": "cat"}) is None


@pytest.mark.parametrize(
    ("given", "gold", "correct"),
    [
        ("(3, \\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)", True),
        ("14/3", "\\frac{14}{3}", True),
        ("$p - q$", "p - q", True),
        ("p + q", "p - q", False),
        ("\\boxed{9}", "9", True),
        ("0.5", "\\frac12", True),
        ("", "9", False),
        ("\x00", "9", False),
        ("{" * 20, "9", False),
    ],
)
def test_math(given, gold, correct):
    assert grade(question("math", gold), answer(given)) is correct


@pytest.mark.parametrize("task", ["chain_sum", "decimal_chain_sum", "products", "leg_counting", "letter_counting"])
def test_reasoning_gym_wants_full_marks(task):
    for index in range(5):
        asked = gym_question(index, task=task, params={}, name=task, dataset="d", split="test", seed=0)
        assert grade(asked, answer(asked.gold)) is True
        assert grade(asked, answer(f"{asked.gold}1")) is False
        assert grade(asked, answer(f"the answer is {asked.gold}")) is False  # part of the marks, not all
        assert grade(asked, answer("x" * 999)) is False


def test_reasoning_gym_backward():
    asked = question("reasoning_gym", "nus", task="spell_backward", entry={"answer": "nus", "metadata": {}})
    assert grade(asked, answer("nus")) is True
    assert grade(asked, answer("nusx")) is False  # every letter in place, and one too many
    assert grade(asked, answer("nu")) is False
