"""All but bare numbers under `math`: expressions, words, relations, intervals, lists, tuples, matrices, prose."""

import pytest

from corea.tasks.grading import grade_many, set_limits
from corea.tasks.grading.pool import Limits
from grading_cases import Case, check, grouped

EXPRESSIONS = [
    Case("\\sqrt{3}", "√3|sqrt(3)|3^{1/2}|1.7320508|\\frac{3}{\\sqrt{3}}|√(3)", "1.73|\\sqrt{2}|3|-\\sqrt3"),
    Case(
        "4+2\\sqrt{7}",
        "4+2√7|2√7+4|4 + 2*sqrt(7)|2(2+√7)|4+√28",
        "4-2√7|4+7√2|4+2\\sqrt{7} or 4-2\\sqrt{7}|\\int_0^1 (4+2\\sqrt7) dx",
    ),
    Case("e^{3}-2", ["exp(3)-2", "\\mathrm{e}^3 - 2"], ["e^2-3", "exp(3)+2"]),
    Case(
        "x^2-9",
        "(x-3)(x+3)|x**2-9|-9+x^2|y=x^2-9|f(x)=x^2-9|x²−9",
        "x^2+9|t^2-9|9-x^2|x^2-9 \\text{ is wrong}|\\frac{d}{dx}(x^3/3-9x)|x^2-9, x^2+9|x^2-9 or so",
    ),
    Case("\\cos^2 x", ["1-\\sin^2 x", "(\\cos x)^2", "\\frac{1+\\cos 2x}{2}"], ["\\sin^2 x", "\\cos x^2", "\\cos x"]),
    Case("\\frac{\\ln x}{2}", ["\\frac12\\ln x", "\\ln\\sqrt{x}", "0.5 ln(x)"], ["\\ln x^2", "2\\ln x"]),
    Case("|x-1|", ["\\sqrt{(x-1)^2}", "|1-x|"], ["x-1", "1-x"]),
    Case("2-5i", ["-5i+2", "2 - 5\\mathrm{i}"], ["2+5i", "-3", "5-2i"]),
    Case("3\\pi \\text{ cm}", ["3\\pi", "3π cm", "9.42477796"], ["3\\pi \\text{ m}", "3", "9.42"]),
    Case("\\sqrt{2^{900}+1}", ["(2^{900}+1)^{1/2}"], ["2^{450}", "\\sqrt{2^{900}}"]),
    Case("\\infty", ["∞", "infinity", "+∞"], ["-∞", "0", "1/0"]),
    Case("\\binom{7}{3}", ["35", "\\binom{7}{4}"], ["34", "21"]),
    Case("\\frac{n(n+1)}{2}", ["\\frac{n^2+n}{2}", "n(n+1)/2"], ["\\sum_{k=1}^n k", "\\frac{n(n-1)}{2}"]),
]
WORDS = [
    Case(
        "\\text{north}",
        'North|NORTH|north.|**north**|"north"|\\textbf{north}|The answer is north|It is north',
        "thorn|south|not north|north or south|north, south|northern|north is wrong|north?|n",
    ),
    Case("dog", ["Dog"], ["god", "d o g", "gdo"]),
    Case("PQR", ["PQR"], ["RQP", "QRP"]),
    Case("\\text{True}", ["true", "True."], ["1", "False", "T"]),
    Case("1", [], ["True", "yes"]),
    Case("\\text{(B), (D)}", ["B, D", "D and B"], ["B", "B, C", "B, C, D"]),
]
RELATIONS = [
    Case("x>4", "(4,\\infty)|4<x|(4, ∞)|x \\in (4,\\infty)|(4,+\\infty)", "x\\ge4|[4,\\infty)|x<4|4|x=4|y>4|(4,5)"),
    Case("-1\\le x<6", "[-1,6)|-1≤x<6|6>x\\ge-1|x \\in [-1,6)|x\\ge -1 and x<6", "(-1,6)|[-1,6]|-1<x<6|x<6"),
    Case(
        "x<1 \\text{ or } x>2", ["(-\\infty,1)\\cup(2,\\infty)", "x>2 or x<1"], ["x<1", "(1,2)", "x<1 and x>2", "x>2"]
    ),
    Case(
        "(-\\infty,3)\\cup(3,\\infty)",
        ["x\\neq 3", "\\mathbb{R}\\setminus\\{3\\}", "x<3 or x>3"],
        ["(-\\infty,\\infty)", "x=3", "ℝ"],
    ),
    Case("[0,3)", ["[0, 3)", "0\\le x<3", "x∈[0,3)"], ["(0,3)", "[0,3]", "(0,3]", "0<x<3"]),
    Case("x=7", ["7", "7=x", "x=7.0"], ["x=8", "y=7", "x\\neq 7", "7=7", "x>7", "x=3+4", "6=7"]),
    Case("y=3x-2", ["3x-2", "y = -2+3x", "3x-y-2=0", "f(x)=3x-2"], ["y=3x+2", "3x-2=0", "x=3y-2"]),
    Case("3x+6y-12=0", ["x+2y-4=0", "y=-\\frac12 x+2", "x+2y=4"], ["x+2y=5", "x+2y-4", "x-2y=4"]),
    Case("x \\equiv 3 \\pmod{7}", ["x\\equiv 3\\pmod 7"], ["3", "x \\equiv 4 \\pmod 7", "x=3"]),
    Case("(x,y)=(2,5)", ["(2,5)", "(x, y) = (2, 5)"], ["(5,2)", "2,5", "(2,4)"]),
    Case("\\vec{v}=(2,5)", ["(2,5)"], ["(5,2)"]),
    Case("A\\cup B", ["B \\cup A", "A∪B"], ["A", "A\\cap B", "A\\cup C"]),
    Case("a_n=3^n", ["3^n", "a_n = 3^{n}"], ["3n", "n^3", "a_n=3^{n-1}"]),
]
SEVERAL = [
    Case("2,9", "9,2|2 and 9|\\{9,2\\}|x=2 or x=9|x = 2, 9|2; 9|2, 9.", "2|29|2.9|2,9,10|2 9|2,8|2,2"),
    Case("\\pm 6", "6,-6|x=\\pm 6|±6|6 and -6", "6|-6|6,6"),
    Case("2 \\pm \\sqrt{5}", ["2+\\sqrt5, 2-\\sqrt5", "2±√5"], ["2+√5", "2 \\pm \\sqrt{6}", "5 \\pm \\sqrt 2"]),
    Case("\\{1,4,6\\}", ["\\{6,4,1\\}", "1,4,6"], ["\\{1,4\\}", "(1,4,6)", "\\{1,4,7\\}"]),
    Case("(2,3),(4,5)", ["(4,5),(2,3)", "(2,3) and (4,5)"], ["(2,5),(4,3)", "(2,3)"]),
    Case(
        "(4,-1)",
        ["（4，-1）", "\\left(4,-1\\right)", "\\begin{pmatrix}4\\\\-1\\end{pmatrix}"],
        ["(-1,4)", "4,-1", "[4,-1]", "(2+2,-1)"],
    ),
    Case("1200,1800", ["1,200, 1,800", "1800 and 1200"], ["1200", "12001800"]),
    Case(
        "\\begin{pmatrix}2&0\\\\1&3\\end{pmatrix}",
        ["\\begin{bmatrix}2&0\\\\1&3\\end{bmatrix}"],
        ["\\begin{pmatrix}2&1\\\\0&3\\end{pmatrix}", "\\begin{vmatrix}2&0\\\\1&3\\end{vmatrix}", "6"],
    ),
    Case("\\emptyset", ["∅", "\\varnothing", "\\{\\}"], ["0", "\\{0\\}"]),
]
PROSE = [
    Case(
        "19",
        "The answer is 19|Answer: 19|Antwort: 19|Réponse : 19|答案：19|答案是19|Ответ: 19|The final "
        "answer is $\\boxed{19}$.|"
        "The value of $x$ is $19$.|Therefore, the length is 19 cm.|The answer is 19 because 20 is even",
        "The answer is not 19|The answer is 19 or 20|I think it is 18 or 19|The value of x is not 19|The "
        "value might be 19|"
        "One of them is 19|The first guess is 18 and the other is 19|If x is odd it is 19|The opposite is 19",
    ),
    Case("(1,6)", ["The midpoint is **(1, 6)**."], ["The midpoint is not (1,6)", "The midpoint is (6,1)"]),
]


CASES = grouped(
    expressions=EXPRESSIONS,
    words_are_no_products_of_letters=WORDS,
    relations_and_intervals=RELATIONS,
    several_values=SEVERAL,
    prose_that_only_announces_the_answer=PROSE,
)


@pytest.mark.parametrize("case", CASES)
def test_right_answers_count_and_wrong_ones_do_not(case):
    check(case)


def test_a_gold_of_an_unknown_form_is_compared_as_text():
    same, other = grade_many(["\\gcd(a,b)"] * 2, ["\\gcd(a, b)", "\\gcd(a,c)"])
    assert (same.correct, other.correct) == (True, None)
    assert other.note == "gold '\\\\gcd(a,b)' cannot be read: gcd of several numbers"


def test_forms_that_are_not_worked_out_can_be_allowed():
    golds, answers = (
        ["391", "1/3", "2500", "391"],
        ["17 \\cdot 23", "\\int_0^1 x^2 dx", "\\sum_{k=1}^{50}(2k-1)", "17 \\cdot 24"],
    )
    assert [v.correct for v in grade_many(golds, answers)] == [False] * 4
    set_limits(seconds=10.0, memory_mb=1024, workers=1, unevaluated="right")
    try:
        assert [v.correct for v in grade_many(golds, answers)] == [True, True, True, False]
    finally:
        set_limits(seconds=Limits().seconds, memory_mb=Limits().memory_mb, workers=Limits().workers)


def test_a_gold_with_a_sum_is_read_by_math_verify():
    (same, worked, other) = grade_many(
        ["\\sum_{k=1}^{n} k"] * 3, ["\\sum_{k=1}^{n} k", "\\frac{n(n+1)}{2}", "\\frac{n(n-1)}{2}"]
    )
    assert (same.correct, worked.correct, other.correct) == (True, True, False)
