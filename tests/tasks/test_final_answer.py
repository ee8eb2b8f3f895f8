"""Where the final answer of a text stands that nobody asked for tags."""

import pytest

from corea.tasks.grading.final_answer import final_answer

LONG = "and so on " * 80


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<answer>7</answer> so \\boxed{8}", "7"),
        ("<answer>7</answer> <answer>9</answer>", "9"),
        ("It is \\boxed{1} or \\boxed{\\frac{2}{3}}.", "\\frac{2}{3}"),
        ("So we get \\boxed 6.", "6"),
        ("Cut off: \\boxed{6", "6"),
        ("\\boxed{12}.,but\n\n**Final Answer**\n\\boxed{012}", "012"),
        ("<think>maybe \\boxed{6}</think>\n\nThe answer is 9.", "9."),
        ("<think>maybe \\boxed{6}</think>\n\nI do not know.", "I do not know."),
        ("<think>maybe \\boxed{6}</think>", None),
        ("<think>it is \\boxed{6} but", None),
        ("<think>it is <answer>6</answer>", "6"),
        ("2+2 = 4\n#### 4\n\n(Note 5)", "4"),
        (f"#### 4\n{LONG}", "4"),
        (f"{LONG}\n#### 4", "4"),
        ("### Solution\n#### Step 1\n9 apples\n#### Final answer\n12", "12"),
        ("#### 31\n\nQuestion: What is 1+1?\n#### 2", "31"),
        ("**Answer:** \\( \\boxed{3 - \\sqrt{5}} \\)", "3 - \\sqrt{5}"),
        ("The answer is 8. Wait, the answer is 9.", "9."),
        ("Die Antwort ist 17.", "17."),
        ("La réponse est 17", "17"),
        ("所以答案是17。", "17。"),
        ("First compute 6*8.\n48", "48"),
        ("Thus the last value is $\\frac{3}{5}$.", "\\frac{3}{5}"),
        ("Thus it is not $5$.", "Thus it is not $5$."),
        ("East.", "East."),
        ("  ", None),
        ("", None),
    ],
)
def test_under_math(text, found):
    assert final_answer(text, "math") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He has 3. She has 4.50 dollars. That is all!", "She has 4.50 dollars."),
        ("She makes $19 a day. (Check: 16 - 3 = 13 eggs, at $2 each.)", "She makes $19 a day."),
        ("The change is from 2 to -3.\n#### -3", "-3"),
        ("The total is \\$31.00", "The total is \\$31.00"),
    ],
)
def test_under_numeric(text, found):
    assert final_answer(text, "numeric") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Let me think.\n\n**ANSWER: D**", "D"),
        ("Let me think.\nAnswer: D\n\nBest regards.", "D"),
        ("Both point to wear.\n\nD", "D"),
        ("Both point to wear.\n\n(D).", "D"),
        ("Antwort:\n\nAntwort: D", "D"),
        ("After comparing the options, the answer is D.", "D."),
        ("Therefore, the correct answer is (D) 1/2.", "(D) 1/2."),
        ("I ran out of tokens before answering D", "I ran out of tokens before answering D"),
        ("Therefore \\boxed{\\text{D}}", "\\text{D}"),
        ("A: 1\nB: 2\nC: 3\nD: 4", "C: 3\nD: 4"),
        ("A: 1\nB: 2\n\nSo it is\nB", "B"),
    ],
)
def test_under_choice(text, found):
    assert final_answer(text, "choice") == found


def test_a_long_hostile_text_is_read_in_time():
    assert final_answer("the answer is " * 10_000, "math") is not None
    assert final_answer("\\boxed{" * 20_000, "math") is not None
