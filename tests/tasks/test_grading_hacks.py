"""Two hundred questions of ten kinds, and what a policy may write instead of solving them. None of it is credited."""

import random
from collections.abc import Callable

from corea.tasks.grading import grade_many
from corea.types import Question

Made = tuple[str, str, list[str], list[str]]
"""Text, gold, restatements of the question, wrong values near the gold."""


def product(rng: random.Random) -> Made:
    a, b = rng.randrange(12, 99), rng.randrange(12, 99)
    restated = [
        f"{a} \\cdot {b}",
        f"{a}*{b}",
        f"{a}×{b}",
        f"({a})({b})",
        f"{a} times {b}",
        f"\\frac{{{a}\\cdot {b}}}{{1}}",
    ]
    return f"What is {a} times {b}?", str(a * b), restated, [str(a * b + 1), str(a * b - 10)]


def odd_sum(rng: random.Random) -> Made:
    n = rng.randrange(5, 60)
    restated = [
        f"\\sum_{{k=1}}^{{{n}}}(2k-1)",
        f"{n}^2",
        f"∑_{{k=1}}^{{{n}}} (2k-1)",
        f"1+3+5+\\ldots+{2 * n - 1}",
        f"{n}\\cdot {n}",
    ]
    return f"Add the first {n} odd numbers.", str(n * n), restated, [str(n * n + 2), str(n)]


def integral(rng: random.Random) -> Made:
    n = rng.randrange(2, 30)
    restated = [
        f"\\int_0^1 x^{{{n}}}\\,dx",
        f"∫_0^1 x^{n} dx",
        f"\\frac{{1^{{{n + 1}}}}}{{{n + 1}}}-0",
        f"1-\\frac{{{n}}}{{{n + 1}}}",
    ]
    return (
        f"Integrate x^{n} from 0 to 1.",
        f"\\frac{{1}}{{{n + 1}}}",
        restated,
        [f"\\frac{{1}}{{{n}}}", f"\\frac{{1}}{{{n + 2}}}"],
    )


def factorial(rng: random.Random) -> Made:
    n = rng.randrange(4, 10)
    value = 1
    for k in range(2, n + 1):
        value *= k
    restated = [
        f"{n}!",
        f"{n} \\cdot {n - 1}!",
        f"\\prod_{{k=1}}^{{{n}}} k",
        f"{n} factorial",
        f"\\frac{{{n + 1}!}}{{{n + 1}}}",
    ]
    return f"In how many orders can {n} people stand?", str(value), restated, [str(value // 2), str(n)]


def binomial(rng: random.Random) -> Made:
    n = rng.randrange(5, 20)
    restated = [
        f"\\binom{{{n}}}{{2}}",
        f"{n} \\text{{ choose }} 2",
        f"\\frac{{{n}\\cdot {n - 1}}}{{2}}",
        f"\\frac{{{n}!}}{{2!({n - 2})!}}",
    ]
    return f"How many pairs have {n} people?", str(n * (n - 1) // 2), restated, [str(n), str(n * n)]


def percentage(rng: random.Random) -> Made:
    p, n = rng.randrange(1, 20) * 5, rng.randrange(2, 30) * 20
    restated = [
        f"{p}% of {n}",
        f"{p} per cent of {n}",
        f"0.{p:02d} \\cdot {n}",
        f"{n} \\cdot \\frac{{{p}}}{{100}}",
        f"{p}\\% \\times {n}",
    ]
    return f"What is {p}% of {n}?", str(p * n // 100), restated, [str(p * n // 100 + 1), str(n)]


def remainder(rng: random.Random) -> Made:
    a, b = rng.randrange(50, 500), rng.randrange(7, 40)
    restated = [f"{a} \\bmod {b}", f"{a} mod {b}", f"{a} % {b}", f"{a}-{b}\\cdot {a // b}", f"\\gcd({a % b}, 0)"]
    return f"What remains when {a} is divided by {b}?", str(a % b), restated, [str(a % b + 1), str(b)]


def roots(rng: random.Random) -> Made:
    a, b = rng.randrange(1, 9), rng.randrange(10, 19)
    equation = f"x^2-{a + b}x+{a * b}=0"
    restated = [equation, f"(x-{a})(x-{b})=0", f"{a}", f"{b}", f"{a}+{b}", f"{a}, {b}, {b + 1}", f"{a}{b}"]
    return f"Solve {equation}.", f"{a},{b}", restated, [f"{a},{b + 1}", f"{a + 1},{b}"]


def direction(rng: random.Random) -> Made:
    names = ["north", "south", "east", "west"]
    gold = rng.choice(names)
    others = [n for n in names if n != gold]
    return "Which way?", f"\\text{{{gold}}}", ["the direction", gold[::-1], "".join(sorted(gold)), "which way"], others


def interval(rng: random.Random) -> Made:
    a, b = rng.randrange(1, 9), rng.randrange(10, 19)
    restated = [
        f"(x-{a})(x-{b})<0",
        f"{a}, {b}",
        f"{a}<{b}",
        f"x>{a}",
        f"x>{a} or x<{b}",
        f"[{a},{b}]",
        f"{a}<y<{b} or z",
    ]
    return f"Solve (x-{a})(x-{b})<0.", f"{a}<x<{b}", restated, [f"{a}<x<{b + 1}", f"{a}\\le x<{b}"]


KINDS: list[Callable[[random.Random], Made]] = [
    product, odd_sum, integral, factorial, binomial, percentage, remainder, roots, direction, interval]  # fmt: skip


def evasions(gold: str, near: list[str]) -> list[str]:
    """Lists of guesses, hedges and negations of a gold."""
    first = near[0]
    guesses = [f"{gold} or {first}", f"{first} or {gold}", f"either {gold} or {first}", f"\\boxed{{{gold}}} \\boxed{{{first}}}",
               f"{gold}; {first}", f"{gold} | {first}", f"{gold}\n{first}", f"one of {gold}, {near[1]}", f"{first} (or {gold})"]  # fmt: skip
    hedges = [f"maybe {gold}", f"{gold}?", f"{gold} or so", f"about {gold}", f"\\approx {gold}", f"{gold}, I guess", f"at least {gold}",
              f"{gold} unless I am mistaken", f"probably {gold}", f"I think {gold} might be it", f"{gold} (not sure)"]  # fmt: skip
    negations = [f"not {gold}", f"\\neq {gold}", f"{gold} is wrong", f"It is not {gold}", f"anything but {gold}", f"{gold} is incorrect",
                 f"The answer is not {gold}", f"x \\ne {gold}", f"\\neg {gold}", f"{gold}: no, {first}"]  # fmt: skip
    return guesses + hedges + negations


def test_no_evasion_of_two_hundred_questions_is_credited():
    rng = random.Random(11)
    questions, answers, golds = [], [], []
    for number in range(200):
        text, gold, restated, near = KINDS[number % 10](rng)
        question = Question(id=str(number), dataset="d", source="s", split="t", text=text, gold=gold, grader="math")
        golds.append(question)
        for answer in [*restated, *near, *evasions(gold, near), text]:
            questions.append(question)
            answers.append(answer)
    assert all(v.correct for v in grade_many(golds, [q.gold for q in golds]))
    verdicts = grade_many(questions, answers)
    credited = [(q.text, q.gold, a) for q, a, v in zip(questions, answers, verdicts, strict=True) if v.correct]
    assert credited == []
    assert all(v.note for v in verdicts)


def test_no_evasion_of_a_number_is_credited_in_prose():
    rng = random.Random(12)
    golds, answers = [], []
    for number in range(140):
        _, gold, restated, near = KINDS[number % 7](rng)
        if gold.isdecimal():
            for answer in [*restated[:2], *near, *evasions(gold, near)]:
                golds.append(gold)
                answers.append(answer)
    verdicts = grade_many(golds, answers, grader="numeric")
    assert [(g, a) for g, a, v in zip(golds, answers, verdicts, strict=True) if v.correct and "^" not in a] == []
