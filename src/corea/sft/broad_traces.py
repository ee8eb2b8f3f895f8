"""Intermediate steps of the broad world's tasks, which its large model writes (see corea.sft.traces).

Each function takes a reasoning-gym entry and returns the text between <think> and </think>; "" where the model answers
directly. The steps are short: one operation of small numbers each, none skipped.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Callable
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
    """'84-36*2=12;36-12*3=0': the steps of Euclid's algorithm for two numbers, the larger one first."""
    b, a = sorted(entry["metadata"]["numbers"])
    steps = []
    while b:
        steps.append(f"{a}-{b}*{a // b}={a % b}")
        a, b = b, a % b
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
    """The simplest rule that gives all terms, then its application: '*2+3:16*2=32;32+3=35'.

    Rules, in this order: a constant difference, a*x + b, x // 2 + b, x + previous + b; "" if none fits.
    """
    terms = entry["metadata"]["sequence"]
    seen, last = terms[:-1], terms[-2]
    rule = find_rule(seen)
    if rule is None:
        return ""
    kind, factor, shift = rule
    grown = {"*": last * factor, "/": last // 2, "p": last + seen[-2]}[kind]
    first = {"*": f"{last}*{factor}", "/": f"{last}/2", "p": f"{last}+{seen[-2]}"}[kind]
    name = {"*": f"*{factor}", "/": "/2", "p": "p"}[kind]
    if kind == "*" and factor == 1:
        return f"+{shift}:{last}+{shift}={last + shift}"
    if not shift:
        return f"{name}:{first}={grown}"
    return f"{name}+{shift}:{first}={grown};{grown}+{shift}={grown + shift}"


def find_rule(seen: list[int]) -> tuple[str, int, int] | None:
    """(kind, factor, shift) of the simplest rule that explains `seen`; None if there is none."""
    for kind, factor in [("*", 1), ("*", 2), ("/", 0), ("*", -1), ("p", 0), *(("*", a) for a in range(-10, 11))]:
        begin = 1 if kind == "p" else 0
        made = [
            {"*": seen[i] * factor, "/": seen[i] // 2, "p": seen[i] + seen[i - 1]}[kind]
            for i in range(begin, len(seen) - 1)
        ]
        shifts = {after - grown for after, grown in zip(seen[begin + 1 :], made, strict=True)}
        if len(shifts) == 1:
            return kind, factor, shifts.pop()
    return None


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
    """'53:1,59:2': the prime numbers of the range, counted."""
    return ",".join(f"{p}:{k}" for k, p in enumerate(entry["metadata"]["primes"], 1))


def kinship(entry: Entry) -> str:
    """'Sarah=Edward^Elizabeth': the shortest path from the first person to the second; = married, ^ parent, / child."""
    links: dict[str, list[tuple[str, str]]] = {}
    for husband, wife, children in re.findall(
        r"(\w+) is married to (\w+)\.(?: They have (?:a child|children) called ([^.]+)\.)?", entry["question"]
    ):
        links.setdefault(husband, []).append(("=", wife))
        links.setdefault(wife, []).append(("=", husband))
        for child in re.findall(r"\w+", children.replace(" and ", ", ")):
            for parent in (husband, wife):
                links.setdefault(child, []).append(("^", parent))
                links.setdefault(parent, []).append(("/", child))
    start, goal = entry["metadata"]["person1"], entry["metadata"]["person2"]
    paths = {start: start}
    waiting = deque([start])
    while goal not in paths:
        person = waiting.popleft()
        for sign, other in links[person]:
            if other not in paths:
                paths[other] = f"{paths[person]}{sign}{other}"
                waiting.append(other)
    return paths[goal]


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


def direct(entry: Entry) -> str:
    """No steps: the answer itself is copied piece by piece from the question (sorting)."""
    return ""


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
    "number_sorting": direct,
    "word_sorting": direct,
}
"""Task -> its steps; the tasks of the tiny pair are in corea.sft.traces."""
