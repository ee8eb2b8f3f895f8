"""`choice`: which letter an answer asserts."""

import pytest

from corea.tasks.grading import grade_many, read_choice
from grading_cases import Case, check

OPTIONS = {"A": "a lamp", "B": "harbour", "C": "none", "D": "1/2 mile"}
B = Case(
    "B",
    options=OPTIONS,
    right=(
        "B|b|(B)|[B]|B.|B)|**B**|`B`|\\boxed{B}|\\boxed{\\text{B}}|B: harbour|B) harbour|(B) harbour|B – "
        "harbour|B, harbour|B — because ships|"
        "Option B|option (b)|Choice B|The answer is B|ANSWER: B|answer: b|The correct option is B.|The "
        "correct answer is (B).|"
        "Antwort: B|Die richtige Antwort ist B.|Réponse : B|La réponse est B|Respuesta: B|La respuesta "
        "correcta es B|Risposta: B|"
        "Ответ: B|Правильный ответ: B|答案：B|答案是B|正确答案是B。|答え：B|정답: B|الإجابة: B|उत्तर: B|"
        "B。|Ｂ|Ⓑ|B because A is wrong|"
        "B is correct|B is the correct answer|I choose B|I would go with B.|My choice is B|harbour|"
        "Harbour.|The answer is harbour|"
        "It is the harbour.|$\\boxed{\\text{B}}$|B, since C is false|The answer is B, not A.|The answer "
        "is B. A is wrong.|Answer:\nB|B/B|"
        "Answer:\u200bB|Svar: B|\\textbf{(B)} harbour"
    ),
    wrong=(
        "A|C|A or B|B or C|A, B|A/B|A and B|A&B|(A)(B)|A B|B or maybe C|not B|B is wrong|B) is wrong, so "
        "C|B: no, C|B? no|Not B but C|"
        "neither A nor B|B, no, actually C|B C|A; B|B and C|either A or B|B is incorrect|B is not "
        "correct|A, B, C, D|B is false, C|"
        "anything but B|a lamp||?|B) none|I do not think it is B|B isn't it|B?|Be careful|between B and "
        "C|B+C|B - no, C|B. No, C.|B wait C|"
        "B... actually C|\\boxed{B} or \\boxed{C}|B, but C is right|I ran out of tokens before B|Maybe B "
        "or C"
    ),
)
CASES = [
    B,
    Case(
        "A",
        ["A", "A.", "A) a lamp", "A because of light"],
        ["A harbour", "A place for ships", "A none"],
        options=OPTIONS,
    ),
    Case("A", ["Mg", "A"], ["mg", "B", "MG"], options={"A": "Mg", "B": "mg"}),
    Case("B", ["mg", "B"], ["Mg"], options={"A": "Mg", "B": "mg"}),
    Case("B", ["B"], ["A"], options={"A": "B", "B": "A"}),
    Case("A", ["A", "E"], ["B", "F"], options={"A": "E", "B": "F"}),
    Case("1", ["B", "harbour"], ["A", "C"], options=OPTIONS),
    Case("3", ["D", "½ mile"], ["C"], options=OPTIONS),
    Case("C", ["C", "7"], ["6", "A"], options={"A": "5", "B": "6", "C": "7"}),
    Case("No", ["B", "no", "No."], ["yes", "A"], options={"A": "Yes", "B": "No"}),
    Case(
        "D",
        ["\\frac{1}{2}", "\\frac12", "D", "½", "1/2"],
        ["2", "A"],
        options={"A": "2", "B": "3", "C": "4", "D": "\\frac{1}{2}"},
    ),
    Case("H", ["H", "(h)", "H. t8"], ["I", "A"], options={c: f"t{n}" for n, c in enumerate("ABCDEFGHIJ", 1)}),
    Case("2", ["C"], ["B"]),
]
for _case in CASES:
    _case.grader = "choice"


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.gold} of {c.options}")
def test_the_letter_that_is_asserted(case):
    check(case)


def test_the_text_of_an_option_may_begin_with_another_letter():
    assert read_choice("A dog.", {"A": "cat", "B": "a dog"}) == "B"
    assert read_choice("A dog", {"A": "cat"}) is None


def test_a_note_says_what_was_picked():
    verdicts = grade_many([B.question()] * 3, ["C", "B or C", "B is wrong"])
    assert [v.note for v in verdicts] == ["picks C, the gold is B", "several letters", "the letter B is retracted"]
