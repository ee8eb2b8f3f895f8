"""`numeric`: the last number of prose, as the value that it is."""

from fractions import Fraction

import pytest

from corea.tasks.grading import grade_many, read_number
from grading_cases import Case, check

CASES = [
    Case("42", "$42|42.|42.00|forty-two|The answer is 42.|She has 42 apples left.|**42**|\\boxed{42}|42 dollars|6*7=42|#### 42|84/2|"
         "\\frac{84}{2}|4.2 \\times 10^1|4.2e1|４２|42个|共有42个|42元|5\n42|She pays $40 + $2 = <<40+2=42>>42|=42|\\$42|R$42",
         "24|42 is wrong|not 42|41 or 42|42 or 43|41, 42|≠42|6 * 42|x_{42}|42x|42 million|42k|1/42|42/5|42^2|3 + 42|H42|x_2|"
         "\\frac{42x}{5}|42 dozen|42 hundredths|42 ± 1|41±42|maybe 42|at least 42|42?|40-42|It is not 42|It isn't 42|-42|4 2|"
         "42 is incorrect|42 unless 3|\\sum_{k=1}^{42}|42\n43|\\boxed{42} \\boxed{43}|42\\sqrt{2}", grader="numeric"),
    Case("0.6", "3/5|\\frac35|60%|0.60|.6|six tenths|60 percent", "6|35|0.06|5|3", grader="numeric"),
    Case("60", ["60%", "sixty percent"], ["0.6", "6"], grader="numeric"),
    Case("32", ["2^5", "64/2", "2^{5}", "thirty two"], ["5", "2", "2^4"], grader="numeric"),
    Case("5", [], ["2^5", "\\frac{2}{5}", "5 million", "5!"], grader="numeric"),
    Case("1200000", ["1.2 million", "1,200,000", "$1.2 million", "12 lakh"], ["1.2", "1.2 billion"], grader="numeric"),
    Case("2.5", ["2 1/2", "2½", "\\frac52", "two and a half", "2 and a half"], ["2", "1/2", "21/2"], grader="numeric"),
    Case("-8", ["−8", "minus 8", "negative 8", "–8", "= - 8"], ["8", "8 - 8"], grader="numeric"),
    Case("2345.6", ["2.345,6", "2,345.60"], ["2.3456", "2345"], grader="numeric"),
    Case("She pays 4*5=20\n#### 1,020", ["1020", "$1,020.00"], ["20", "4"], grader="numeric"),
    Case("8", ["8 quarters", "8 shiny quarters"], ["8 thirds"], grader="numeric", text="How many shiny quarters has she?"),
    Case("2", ["8 quarters", "2"], ["8"], grader="numeric"),
    Case("9 cm", ["9", "9 cm"], ["9 kg"], grader="numeric"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.gold)
def test_the_last_number_counts_as_the_value_that_it_is(case):
    check(case)


def test_numbers_are_read_exactly():
    assert read_number("3/4 of them") == Fraction(3, 4)
    assert read_number("$1,234.50") == Fraction(2469, 2)
    assert read_number("the boxes from 3 to 12 hold 0.1 kg") == Fraction(1, 10)
    assert read_number("0.10000000000000001") != Fraction(1, 10)
    assert read_number("none") is None
    assert read_number("1/0") is None


def test_the_note_names_both_numbers():
    (verdict,) = grade_many(["18"], ["It costs 5/2 dollars"], grader="numeric")
    assert verdict.note == "reads 5/2, the gold is 18"


def test_a_long_answer_is_read_in_linear_time():
    assert read_number("1," * 400 + "so " * 50 + "7") == 7
