"""Further answers of kinds that graders get wrong: lists of options, second thoughts, words around a number."""

import pytest

from corea.tasks.grading import grade_many
from grading_cases import Case, check, grouped

PLACES = {"A": "a museum", "B": "harbour", "C": "the old mill", "D": "all of these"}
LENGTHS = {"A": "10 m", "B": "10 mm", "C": "10 Mm", "D": "10 km"}

CHOICES = [
    Case(
        "C",
        "- C|* C|C! Certainly.|answer → C|the old mill (C)|the old mill, option C|old mill|C (the old mill)|"
        "The answer is not A but C|The answer is C, not A|C, as B is a place for ships|The answer is: C|"
        "La respuesta correcta es la C|La bonne réponse est la C|La risposta corretta è la C|A opção correta é C|"
        "A alternativa correta é a C|Câu trả lời: C|Đáp án đúng là C|Jawabannya adalah C|Отговор: C|คำตอบ: C|คำตอบคือ C|"
        "جواب: C|正確答案是(C)|解答：C|Odpowiedź: C|Antwoord: C|Vastaus: C|תשובה: C",
        "A) a museum B) harbour C) the old mill D) all of these|C) the old mill D) all of these|"
        "C, although A looks better|"
        "C, however B seems more plausible|C) the old mill\nD) all of these|C. the old mill\nD. all of these|"
        "C -|The answer is not C but A|the old mill (A)|the old mill, harbour|C -> A|C. On second thought, A.|C (A)|"
        "C with probability 0.5|everything except C|C: false|C... hmm, B",
        options=PLACES,
    ),
    Case(
        "A",
        "A|A because of art|a museum|museum",
        "A) a museum\nB) harbour|A. a museum\nB. harbour\nC. the old mill|A car moves|A car is parked|"
        "A opção correta é B|"
        "A museum is not the answer|A, B, C or D|A through D|all except A|A (but maybe C)|¬A",
        options=PLACES,
    ),
    Case("D", ["10km", "10 km", "D"], ["10 Km/h", "10mm", "10 m"], options=LENGTHS),
    Case("2", ["C", "10Mm"], ["10mm", "B"], options=LENGTHS),
]
NUMERIC = [
    Case("0.125", "2^{-3}|2^(-3)|2^-3|0.5^3|12.5%|1/8|one eighth", "2^3|-3|3|2^{3}|0.5^{3x}"),
    Case("27", "3^3|270/10", "2.7 \\times 10|2.7 x 10|2.7 times 10|9 times 3|30 minus 3"),
    Case("2700", ["2.7 \\times 10^3", "2.7 x 10^3", "2.7 \\cdot 10^{3}", "2.7e3"], ["27 \\times 10^2 \\times 10"]),
    Case(
        "9",
        "9 °C|9 °F|2 + 7 = 9|Step 2: 9|In step 3: it is 9|9 times as many",
        "3 times 9|12 minus 9|12 plus 9|81 over 9|81 divided by 9|5:9|5 : 9|between 8 and 9|A9|R9|C9|9:5",
    ),
    Case("3.5", ["3 and 1/2", "3 1/2", "3½", "He ate 3 and 1/2 pies"], ["3 and 1", "1/2", "3"]),
    Case("0.5", ["1/2"], ["3 and 1/2"]),
    Case("58", ["USD 58", "Rs 58", "EUR58", "$58"], ["X58", "HD58"]),
]
MATH = [
    Case(
        "91",
        ["The answer is: $91$.", "Answer: 91", "91\\ ", "The result is therefore 91", "answer → 91"],
        ["91\\\\ 92"],
    ),
    Case(
        "91",
        ["91 km", "ninety-one"],
        "91 plus|91 tops|91 max|91 vs 92|91 [92]|91\\lor 92|91\\hat{}|\\overline{91}|\\cancel{91}|91 to 1|"
        "91 in 100|91 below|90 plus 1|7 times 13|182 divided by 2|half of 182|91 (wrong)|91 - no|91 out of 100|"
        "twice 91|91st power|91\\prime",
    ),
    Case("\\frac{3}{14}", ["0.2142857142857", "\\frac{6}{28}"], ["0.2142", "0.2143", "3/41", "14/3"]),
    Case("x<7", ["(-\\infty, 7)", "7>x"], ["(-\\infty, 7]", "7", "x\\le 7", "x<8"]),
    Case("3x+6y-2=0", ["y=-\\frac12x+\\frac13", "6x+12y=4"], ["y=-\\frac12x+\\frac23", "0=0", "x=x"]),
    Case("4<x<9", ["(4,9)", "9>x>4"], ["4<x", "[4,9]", "4,9", "4<9"]),
    Case("\\frac{1}{1999!}", ["1/1999!"], ["\\frac{1}{1998!}", "0", "\\frac{1}{2001!}"]),
]


for _grader, _cases in {"choice": CHOICES, "numeric": NUMERIC}.items():
    for _case in _cases:
        _case.grader = _grader


@pytest.mark.parametrize("case", grouped(choice=CHOICES, numeric=NUMERIC, math=MATH))
def test_kinds_of_answers(case):
    check(case)


def test_options_may_be_a_list():
    question = Case("1", [], [], grader="choice", options=["a lamp", "harbour"]).question()
    assert [v.correct for v in grade_many([question] * 3, ["B", "harbour", "A"])] == [True, True, False]
