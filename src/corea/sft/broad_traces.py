"""Intermediate steps of the broad world's tasks, which its large model writes (see corea.sft.traces).

Each function takes a reasoning-gym entry and returns the text between <think> and </think>; "" where the model answers
directly. The steps are short: one operation of small numbers each, none skipped.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

from corea.sft.broad_tokenizer import WEEKDAYS

Entry = dict[str, Any]


def calculation(entry: Entry) -> str:
    """'3*4=12;12+-7=5': the operations of an expression, innermost first."""
    steps: list[str] = []

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Constant):
            return int(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.operand, ast.Constant):
                return -int(node.operand.value)  # type: ignore[arg-type]
            inner = value(node.operand)
            steps.append(f"-({inner})={-inner}")
            return -inner
        assert isinstance(node, ast.BinOp)
        left, right = value(node.left), value(node.right)
        sign, apply = OPERATORS[type(node.op)]
        steps.append(f"{left}{sign}{right}={apply(left, right)}")
        return apply(left, right)

    value(ast.parse(entry["metadata"]["expression"], mode="eval").body)
    return ";".join(steps)


OPERATORS: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("+", lambda a, b: a + b),
    ast.Sub: ("-", lambda a, b: a - b),
    ast.Mult: ("*", lambda a, b: a * b),
}


def gcd(entry: Entry) -> str:
    """'36*2=72;84-72=12;12*3=36;36-36=0': Euclid's algorithm for two numbers, the larger one first; each quotient, then
    the rest."""
    b, a = sorted(entry["metadata"]["numbers"])
    steps = []
    while b:
        taken = b * (a // b)
        steps += [f"{b}*{a // b}={taken}", f"{a}-{taken}={a - taken}"]
        a, b = b, a - taken
    return ";".join(steps)


def equation(entry: Entry) -> str:
    """'56-98*e=-1218' as '-1218-56=-1274;-1274/-98=13': the constant moves, then the coefficient divides."""
    meta = entry["metadata"]
    left, right = meta["equation"].split(" = ")
    variable = meta["variable"]
    at = {x: ast_value(left, variable, x) for x in (0, 1)}
    constant, slope = at[0], at[1] - at[0]
    steps = [f"{right}-{constant}={int(right) - constant}"] if constant else []
    moved = int(right) - constant
    if slope != 1:
        steps.append(f"{moved}/{slope}={moved // slope if slope else 0}")
    return ";".join(steps)


def ast_value(expression: str, variable: str, x: int) -> int:
    """Value of a linear expression, like '56 - 98*e', at variable = x."""
    total = 0
    for sign, term in re.findall(r"([+-]?)\s*([^\s+-]+)", expression):
        product = 1
        for factor in term.split("*"):
            product *= x if factor == variable else int(factor)
        total += -product if sign == "-" else product
    return total


def sequence(entry: Entry) -> str:
    """'3,6,12;24*2=48;48+3=51': the differences of the terms, then the operations that make the next term.

    Operations, as reasoning-gym composes them: multiply by a number, square, halve (rounded down), add the term before,
    add a number. The shortest rule that explains all terms; the differences alone if none does.
    """
    *seen, answer = entry["metadata"]["sequence"]
    differences = ",".join(str(b - a) for a, b in pairwise(seen))
    rule = find_rule(tuple(seen), answer)
    if rule is None:
        return differences
    steps, value = [], seen[-1]
    for operation in rule:
        after = apply(operation, value, seen[-2])
        steps.append(f"{written(operation, value, seen[-2])}={after}")
        value = after
    return ";".join([differences, *steps])


Operation = tuple[str, int]
OPERATIONS: tuple[Operation, ...] = (
    *((("*", factor)) for factor in (2, -1, 3, -2, 4, -3, 5, -4, 6, -5, 7, -6, 8, -7, 9, -8, 10, -9, -10)),
    ("/", 2),
    ("p", 0),
    ("^", 2),
)
"""Operations besides the last addition, the most common ones first."""


def apply(operation: Operation, value: int, before: int | None) -> int:
    """`value` after one operation; `before` is the term before it, None for the first."""
    kind, number = operation
    made = {"*": value * number, "/": value // 2, "p": value + (before or 0), "^": value * value, "+": value + number}
    return made[kind]


def written(operation: Operation, value: int, before: int) -> str:
    """The left side of an operation's step."""
    kind, number = operation
    return {
        "*": f"{value}*{number}", "/": f"{value}/2", "p": f"{value}+{before}", "^": f"{value}*{value}",
        "+": f"{value}+{number}",
    }[kind]  # fmt: skip


def find_rule(seen: tuple[int, ...], answer: int) -> tuple[Operation, ...] | None:
    """The shortest operations that make each term of `seen` from the one before, and `answer` from the last.

    Where no rule also makes the answer, the shortest that explains `seen`; None if at most two operations and an
    addition do not.
    """
    fallback = None
    for count in (0, 1, 2):
        for first in product(OPERATIONS, repeat=count):
            shift = common_shift(first, seen)
            if shift is None:
                continue
            rule = (*first, ("+", shift)) if shift else first
            if run(rule, seen[-1], seen[-2]) == answer:
                return rule
            fallback = fallback or rule
    return fallback


def common_shift(rule: tuple[Operation, ...], seen: tuple[int, ...]) -> int | None:
    """What is to be added after `rule` to make every term of `seen` from the one before; None if that differs."""
    shifts = set()
    for before, value, after in zip((None, *seen), seen, seen[1:], strict=False):
        shifts.add(after - run(rule, value, before))
        if len(shifts) > 1:
            return None
    return shifts.pop()


def run(rule: tuple[Operation, ...], value: int, before: int | None) -> int:
    """`value` after all operations of a rule."""
    for operation in rule:
        value = apply(operation, value, before)
    return value


def angles(entry: Entry) -> str:
    """'360-155=205;205-26=179': the angle sum less one known angle after the other."""
    meta = entry["metadata"]
    left, steps = int(meta["total_interior_sum"]), []
    for angle in meta["known_angles"]:
        steps.append(f"{left}-{int(angle)}={left - int(angle)}")
        left -= int(angle)
    return ";".join(steps)


def interval(entry: Entry) -> str:
    """'29-54=-25;-25+60=35;19-18-1=0': minutes first, with a borrowed hour where they are negative."""
    start, end = re.findall(r"(\d\d):(\d\d)", entry["question"])[:2]
    (hours, minutes), (to_hours, to_minutes) = ((int(h), int(m)) for h, m in (start, end))
    left = to_minutes - minutes
    steps = [f"{to_minutes}-{minutes}={left}"]
    if left < 0:
        steps.append(f"{left}+60={left + 60}")
    borrowed = "-1" if left < 0 else ""
    steps.append(f"{to_hours}-{hours}{borrowed}={to_hours - hours - (left < 0)}")
    return ";".join(steps)


def weekday(entry: Entry) -> str:
    """'24%7=3;MondayTuesdayWednesdayThursday': the rest of the days by 7, then day by day."""
    from datetime import date

    meta = entry["metadata"]
    offset, start = meta["offset_days"], date.fromisoformat(meta["start_date"]).weekday()
    rest = abs(offset) % 7
    days = (WEEKDAYS[(start + (k if offset > 0 else -k)) % 7] + str(k) for k in range(rest + 1))
    return f"{abs(offset)}%7={rest};" + "".join(days)


def primes(entry: Entry) -> str:
    """'77:21;54:16;21-16=5': the prime numbers up to the last number and below the first one, then their difference."""
    first, last = (int(n) for n in re.findall(r"\d+", entry["question"])[:2])
    below, up_to = primes_up_to(first - 1), primes_up_to(last)
    return f"{last}:{up_to};{first - 1}:{below};{up_to}-{below}={up_to - below}"


def primes_up_to(number: int) -> int:
    """How many prime numbers are at most `number`."""
    return sum(all(n % d for d in range(2, n)) for n in range(2, number + 1))


def kinship(entry: Entry) -> str:
    """'Sarah4Elizabeth1': the place of both people in the family.

    2 is the first married person whose parents are named, 1 those parents, 3 the spouse of 2, 5 the parents of 3, and 4
    everyone else. In a family without such a person, 1 are the parents and 2 the children.
    """
    parents: dict[str, tuple[str, str]] = {}
    spouse: dict[str, str] = {}
    for one, other, children in re.findall(
        r"(\w+) is married to (\w+)\.(?: They have (?:a child|children) called ([^.]+)\.)?", entry["question"]
    ):
        spouse |= {one: other, other: one}
        parents |= dict.fromkeys(re.findall(r"\w+", children.replace(" and ", ", ")), (one, other))
    middle = next((name for name in spouse if name in parents), None)
    places = dict.fromkeys(parents, 2 if middle is None else 4)
    if middle is not None:
        places |= {middle: 2, spouse[middle]: 3}
    for child, couple in parents.items():
        if child == middle or middle is None:
            places |= dict.fromkeys(couple, 1)
        elif child == spouse[middle]:
            places |= dict.fromkeys(couple, 5)
    meta = entry["metadata"]
    return "".join(f"{name}{places[name]}" for name in (meta["person1"], meta["person2"]))


def rewriting(entry: Entry) -> str:
    """'A# B# #A=B #A+B': the tokens of an A::B program in order.

    A token with its # on the left meets the last waiting token of its letter and both vanish (=), or it passes all of
    them (+); the letters that still wait follow.
    """
    steps, waiting = [], ""
    for token in program(entry["question"]):
        if token[1] == "#":
            waiting += token[0]
            steps.append(token)
            continue
        place = waiting.rfind(token[1])
        if place >= 0:
            waiting = waiting[:place] + waiting[place + 1 :]
        steps.append(f"{token}{'=' if place >= 0 else '+'}{waiting}")
    return " ".join(steps)


def program(question: str) -> list[str]:
    """Tokens of the program in a question of the task ab."""
    return question.rsplit("\n\n", 2)[1].split(" ")


def sorted_numbers(entry: Entry) -> str:
    """'-33,23,30.1': the numbers of the question in ascending order; the answer may turn them round."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", entry["question"].split("order: ")[1].split("\n")[0])
    return ",".join(sorted(numbers, key=float))


def sorted_words(entry: Entry) -> str:
    """'th tr Ca>Ca th tr': the beginnings that tell the words apart, then in ascending order; the answer may turn them
    round."""
    words = entry["question"].split("comma-separated list: ")[1].strip().split(", ")
    heads = [next((w[:k] for k in range(1, len(w)) if sum(o.startswith(w[:k]) for o in words) == 1), w) for w in words]
    in_order = [heads[words.index(w)] for w in sorted(words)]
    return " ".join(heads) + ">" + " ".join(in_order)


BROAD_TRACES: dict[str, Callable[[Entry], str]] = {
    "basic_arithmetic": calculation,
    "gcd": gcd,
    "ab": rewriting,
    "simple_equations": equation,
    "number_sequence": sequence,
    "simple_geometry": angles,
    "time_intervals": interval,
    "calendar_arithmetic": weekday,
    "count_primes": primes,
    "family_relationships": kinship,
    "number_sorting": sorted_numbers,
    "word_sorting": sorted_words,
}
"""Task -> its steps; the tasks of the tiny pair are in corea.sft.traces."""
