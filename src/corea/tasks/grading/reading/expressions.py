"""Parses one expression into a tree. Every token must be known; a word is not a product of letters."""

from __future__ import annotations

from fractions import Fraction

from corea.tasks.grading.reading.literals import read_literal
from corea.tasks.grading.reading.tokens import BIG, FUNCTIONS, GREEK, Cursor, Unevaluated, Unread
from corea.tasks.grading.reading.trees import Tree

MAX_DEPTH = 60
_MODULO = {"mod", "bmod", "pmod", "equiv", "cong"}
_OPAQUE = ("f", "g", "h")
"""Letters that name a function if a bracket follows."""


class _Parser(Cursor):
    def __init__(self, text: str):
        super().__init__(text)
        self.depth = 0
        self.bars = 0

    def whole(self) -> Tree:
        tree = self.sum()
        if self.next:
            raise Unread(f"unexpected {self.next!r}")
        return tree

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread("too deeply nested")
        parts = [self.product()]
        while self.next in ("+", "-"):
            sign = self.take()
            term = self.product()
            parts.append(("neg", term) if sign == "-" else term)
        self.depth -= 1
        return parts[0] if len(parts) == 1 else ("add", *parts)

    def product(self) -> Tree:
        left = self.signed()
        while True:
            token = self.next
            if token in ("\\cdot", "\\times", "*"):
                self.take()
                left = _times(left, self.signed())
            elif token in ("/", "\\div"):
                self.take()
                left = ("div", left, self.signed())
            elif self.starts_factor():
                if token[0].isdigit() or token[0] == ".":
                    raise Unread("two numbers side by side")
                left = _times(left, self.power())
            elif token in ("%", "\\mod", "\\bmod", "\\pmod"):
                raise Unread("a remainder")
            else:
                return left

    def starts_factor(self) -> bool:
        token = self.next
        if not token:
            return False
        if token == "|":
            return self.bars == 0
        if token[0] == "\\" and len(token) > 2:
            name = token[1:]
            if name in BIG:
                raise Unevaluated(BIG[name])
            return (
                name in FUNCTIONS
                or name in GREEK
                or name in ("frac", "sqrt", "binom", "pi", "infty", "lfloor", "lceil")
            )
        return token[0].isalnum() or token in ("(", "{", "[", ".")

    def signed(self) -> Tree:
        sign = 1
        signs = 0
        while self.next in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
            signs += 1
        if signs > 2:
            raise Unread("several signs")
        tree = self.power()
        return ("neg", tree) if sign < 0 else (("add", tree) if signs > 1 else tree)

    def power(self) -> Tree:
        base = self.postfix(self.primary())
        if self.next != "^":
            return base
        self.take()
        if self.next == "{" and self.ahead(1) == "\\circ":
            self.take(), self.take(), self.take("}")
            return ("deg", base)
        if self.next == "\\circ":
            self.take()
            return ("deg", base)
        exponent = self.exponent()
        return self.postfix(("pow", base, exponent))

    def exponent(self) -> Tree:
        if self.next in ("-", "+"):
            sign = self.take()
            tree = self.primary()
            return ("neg", tree) if sign == "-" else tree
        tree = self.primary()
        if self.next == "^":
            self.take()
            return ("pow", tree, self.exponent())
        return tree

    def postfix(self, tree: Tree) -> Tree:
        while self.next in ("!", "'"):
            if self.take() == "'":
                raise Unevaluated(BIG["partial"])
            if self.next == "!":
                raise Unread("a double factorial")
            tree = ("fact", tree)
        return tree

    def group(self) -> Tree:
        """`{...}`, or the single token of `\\frac12`."""
        if self.next == "{":
            return self.primary()
        token = self.next
        if token and token[0].isdigit() and len(token) > 1:  # \frac12 is \frac{1}{2}
            self.tokens[self.place] = (token[1:], False)
            return ("num", Fraction(int(token[0])))
        return self.primary()

    def primary(self) -> Tree:
        token = self.take()
        if token[0].isdigit() or (token[0] == "." and len(token) > 1):
            return self.number(token)
        if token in _BRACKETS:
            bars, self.bars = self.bars, 0
            inner = self.sum()
            self.take(_BRACKETS[token])
            self.bars = bars
            return ("add", *inner[1:]) if inner[0] == "add" else inner
        if token == "|":
            self.bars += 1
            inner = self.sum()
            self.take("|")
            self.bars -= 1
            return ("abs", inner)
        if len(token) == 1 and token.isalpha():
            return self.letter(token)
        if token[0] == "\\":
            return self.command(token[1:])
        raise Unread(f"{token!r}")

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
        """`1\\frac{1}{2}`: a proper fraction of integers directly after an integer."""
        start = self.place
        saved = list(self.tokens)
        self.take()
        above, below = self.group(), self.group()
        if above[0] == below[0] == "num" and len(above) == len(below) == 2 and 0 < above[1] < below[1]:
            return ("num", whole + above[1] / below[1])
        self.place, self.tokens = start, saved
        return None

    def subscript(self) -> str:
        if self.next != "_":
            return ""
        self.take()
        if self.next != "{":
            return "_" + self.take()
        depth, parts = 0, list[str]()
        while True:
            token = self.take()
            depth += (token == "{") - (token == "}")
            if depth == 0:
                return "_" + "".join(parts).lstrip("{")
            parts.append(token)

    def letter(self, token: str) -> Tree:
        name = token + self.subscript()
        if name == "e":
            return ("const", "e")
        if name == "i":
            return ("const", "i")
        if name in _OPAQUE and self.next == "(":
            return ("app", name, self.primary())
        return ("sym", name)

    def command(self, name: str) -> Tree:
        if name in BIG:
            raise Unevaluated(BIG[name])
        if name in _MODULO:
            raise Unread("a remainder")
        if name == "frac":
            return self.fraction()
        if name == "binom":
            return ("binom", self.group(), self.group())
        if name == "sqrt":
            return self.root()
        if name in ("pi", "infty"):
            return ("const", "pi" if name == "pi" else "inf")
        if name in ("lfloor", "lceil"):
            inner = self.sum()
            self.take("\\rfloor" if name == "lfloor" else "\\rceil")
            return ("floor" if name == "lfloor" else "ceil", inner)
        if name in GREEK:
            return ("sym", name + self.subscript())
        if name in FUNCTIONS:
            return self.function(name)
        raise Unread(f"\\{name}")

    def fraction(self) -> Tree:
        if (self.next == "{" and self.ahead(1) == "d" and self.ahead(2) == "}") or (
            self.next == "{" and self.ahead(1) == "\\partial"
        ):
            raise Unevaluated(BIG["partial"])
        return ("div", self.group(), self.group())

    def root(self) -> Tree:
        """`√12` is read as the root of 12; LaTeX takes only the first digit, which is never meant."""
        if self.next == "[":
            self.take()
            degree = self.sum()
            self.take("]")
            return ("root", self.primary(), degree)
        return ("root", self.primary(), ("num", Fraction(2)))

    def function(self, name: str) -> Tree:
        if name in ("max", "min", "gcd", "lcm"):
            raise Unread(f"{name} of several numbers")
        base = exponent = None
        if self.next == "_":
            self.take()
            base = self.group()
        if self.next == "^":
            self.take()
            exponent = self.exponent()
        argument = self.argument(name)
        if name == "abs":
            return ("abs", argument)
        if name == "sqrt":
            return ("root", argument, ("num", Fraction(2)))
        if exponent == ("neg", ("num", Fraction(1))) and name in ("sin", "cos", "tan"):
            return ("fn", "arc" + name, argument)
        tree = ("fn", name, argument) if base is None else ("fn", name, argument, base)
        return tree if exponent is None else ("pow", tree, exponent)

    def argument(self, name: str) -> Tree:
        """`(...)`, or the factors up to the next sign or function: `\\sin 2x`."""
        if self.next in ("(", "{", "["):
            return self.postfix(self.primary())
        sign = self.take() if self.next == "-" else ""
        parts = [self.power()]
        while self.starts_factor() and self.next[1:] not in FUNCTIONS and self.next not in ("(", "["):
            if self.next[0].isdigit():
                raise Unread("two numbers side by side")
            parts.append(self.power())
        if self.next == "/" and len(parts) == 1 and self.ahead(1).isdigit():  # \sin \pi/6
            self.take()
            parts = [("div", parts[0], self.power())]
        tree = parts[0] if len(parts) == 1 else ("mul", *parts)
        return ("neg", tree) if sign else tree


_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def _times(left: Tree, right: Tree) -> Tree:
    return ("mul", *left[1:], right) if left[0] == "mul" else ("mul", left, right)


def read_expression(text: str) -> Tree:
    """The tree of an expression in normal form.

    Raises:
        Unread: it contains an unknown token, word or order of tokens.
        Unevaluated: it contains a sum, product, integral, limit or derivative.
    """
    if not text.strip():
        raise Unread("nothing")
    return _Parser(text).whole()
