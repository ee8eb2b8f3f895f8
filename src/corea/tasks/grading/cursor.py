"""A place in the tokens of an expression, and the numbers that stand there."""

from __future__ import annotations

from fractions import Fraction

from corea.tasks.grading.literals import read_literal
from corea.tasks.grading.tokens import Unread, tokens
from corea.tasks.grading.trees import Tree


class Cursor:
    """Reads tokens one by one."""

    def __init__(self, text: str):
        self.tokens = tokens(text)
        self.place = 0
        self.depth = 0
        self.bars = 0

    @property
    def next(self) -> str:
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def ahead(self, n: int) -> str:
        place = self.place + n
        return self.tokens[place][0] if place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.next
        if not token or (wanted and token != wanted):
            raise Unread(f"{wanted or 'more'!r} is missing")
        self.place += 1
        return token

    def group(self) -> Tree:
        """A tree in brackets."""
        raise NotImplementedError

    def number(self, token: str) -> Tree:
        literal = read_literal(token)
        if literal is None:
            raise Unread(f"the number {token[:20]}")
        whole = literal.places is None and token.isdigit()
        if self.next == "_":
            raise Unread("a number in another base within an expression")
        if whole and self.next == "\\frac":
            mixed = self.mixed(int(token))
            if mixed is not None:
                return mixed
        if whole and self.next.isdigit() and self.ahead(1) == "/" and self.ahead(2).isdigit() and self.ahead(3) != "^":
            above, below = int(self.next), int(self.ahead(2))
            if 0 < above < below:
                self.place += 3
                return ("num", int(token) + Fraction(above, below))
        return ("num", literal.value) if literal.places is None else ("num", literal.value, literal.places)

    def mixed(self, whole: int) -> Tree | None:
        """`1\\frac{1}{2}`: a proper fraction of integers right behind an integer."""
        start = self.place
        saved = list(self.tokens)
        self.take()
        above, below = self.group(), self.group()
        if above[0] == below[0] == "num" and len(above) == len(below) == 2 and 0 < above[1] < below[1]:
            return ("num", whole + above[1] / below[1])
        self.place, self.tokens = start, saved
        return None
