"""Which answers count as evaluated if the gold is a bare number: `data.grading.unevaluated`."""

from __future__ import annotations

from fractions import Fraction

from corea.tasks.grading.reading.asked import Asked
from corea.tasks.grading.reading.trees import Tree


def restates(tree: Tree, asked: Asked) -> bool:
    """Whether the question itself contains this function of one number (`\\log_2 8`)."""
    if not asked.text or is_number(tree):
        return False
    return any(t in asked.text for t in _spellings(tree))


def _spellings(tree: Tree) -> tuple[str, ...]:
    inner = tree[1] if tree[0] in ("neg", "abs") else tree
    numbers = [str(t[1]) for t in inner[1:] if isinstance(t, tuple) and t[0] == "num" and t[1].denominator == 1]
    if inner[0] == "root" and numbers:
        return (f"\\sqrt{{{numbers[0]}}}", f"\\sqrt{numbers[0]}", f"sqrt({numbers[0]})", f"squarerootof{numbers[0]}")
    if inner[0] == "fn" and len(numbers) == 2:
        argument, base = numbers
        name = f"\\{inner[1]}"
        return tuple(
            f"{name}_{b}{a}"
            for b in (base, f"{{{base}}}")
            for a in (argument, f"{{{argument}}}", f"({argument})", f" {argument}")
        )
    if inner[0] == "fn" and numbers:
        return (f"\\{inner[1]} {numbers[0]}", f"\\{inner[1]}({numbers[0]})", f"{inner[1]}({numbers[0]})")
    return ()


def is_number(tree: Tree) -> bool:
    """Whether a tree is a written number: with a sign, as a fraction, or times a power of ten."""
    kind = tree[0]
    if kind == "num":
        return True
    if kind == "neg":
        return tree[1][0] != "neg" and is_number(tree[1])
    if kind == "div":
        return all(t[0] == "num" or (t[0] == "neg" and t[1][0] == "num") for t in tree[1:])
    if kind == "pow":
        return tree[1] == ("num", Fraction(10)) and is_number(tree[2]) and tree[2][0] != "div"
    if kind == "mul":
        return len(tree) == 3 and tree[1][0] == "num" and tree[2][0] == "pow" and is_number(tree[2])
    return False


def is_evaluated(tree: Tree) -> bool:
    """Whether only a fraction or a function of one number remains to be evaluated."""
    if is_number(tree):
        return True
    kind = tree[0]
    if kind == "neg":
        return is_evaluated(tree[1])
    if kind == "fn":
        return all(_angle(t) for t in tree[2:])
    if kind in ("root", "abs"):
        return all(is_number(t) for t in tree[1:])
    return False


def _angle(tree: Tree) -> bool:
    """A number, a multiple of pi, an angle in degrees, a power of e or a root: the usual arguments of functions."""
    return (
        is_number(tree)
        or tree[0] == "const"
        or (tree[0] == "deg" and is_number(tree[1]))
        or (tree[0] in ("mul", "div") and len(tree) == 3 and all(is_number(t) or t[0] == "const" for t in tree[1:]))
    )
