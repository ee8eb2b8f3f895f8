"""What all graders share: outcomes, notes, golds that cannot be read; `exact` and reasoning-gym."""

import pytest

from corea.config.data_schema import GradingConfig
from corea.errors import UserError
from corea.tasks.grading import GRADERS, grade, grade_many, unreadable_golds, unreadable_warning
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


def test_outcomes_are_kept_apart():
    def given(text: str | None, status: Status = Status.OK):
        return answer(text, status)

    golds = ["18", "18", "18", "18", "18"]
    texts = [given("18"), given("19"), given("none"), given(None, Status.TRUNCATED), given(None, Status.ERROR)]
    verdicts = grade_many(golds, texts, grader="numeric")
    assert [(str(v.outcome), v.correct) for v in verdicts] == [
        ("correct", True),
        ("wrong", False),
        ("unparsed", False),
        ("unparsed", False),
        ("error", None),
    ]
    assert all(v.note for v in verdicts[1:])


@pytest.mark.parametrize(
    ("grader", "gold", "note"),
    [
        ("numeric", "no number", "gold 'no number' cannot be read: contains no number"),
        ("numeric", "5 or 6", "gold '5 or 6' cannot be read: several guesses"),
        ("choice", "perhaps", "gold 'perhaps' cannot be read: it is neither a letter nor an option"),
        ("math", "", "gold '' cannot be read: it is empty"),
        (
            "math",
            "so it holds for all n since the map " * 2,
            "gold 'so it holds for all n since the map so it holds for all n...' "
            "cannot be read: it is prose of more than 12 words",
        ),
        ("exact", " ", "gold '' cannot be read: it is empty"),
    ],
)
def test_a_gold_that_cannot_be_read_is_no_wrong_answer(grader, gold, note):
    (verdict,) = grade_many([gold], ["18"], grader=grader)
    assert (str(verdict.outcome), verdict.correct, verdict.note) == ("unreadable_gold", None, note)


def test_unreadable_golds_are_counted_before_a_run():
    questions = [
        question("numeric", "18"),
        question("numeric", "many"),
        question("math", "x^2"),
        question("choice", "?"),
    ]
    questions[1].id = "q2"
    assert [u.question.gold for u in unreadable_golds(questions)] == ["many", "?"]
    assert unreadable_warning(questions) == (
        "2 of 4 gold answers cannot be read by their grader and count as neither right nor wrong; first question q2 "
        "(numeric): gold 'many' cannot be read: contains no number"
    )
    assert unreadable_warning(questions[:1]) is None


def test_the_mode_of_grading_is_checked():
    with pytest.raises(ValueError, match=r"data.grading.unevaluated=maybe: allowed is wrong, right"):
        GradingConfig(unevaluated="maybe")


def test_invisible_characters_do_not_make_another_text():
    assert grade(question("exact", "Rome"), answer("Ro\u200bme ")) is True
    assert grade(question("exact", "x2"), answer("x²")) is False
