"""Splits an expression into tokens. Every run of letters must be known: a word is not a product of letters."""

from __future__ import annotations

import re

from corea.tasks.grading.reading.tables import words

MAX_TOKENS = 500
BIG = {
    "int": "an integral", "iint": "an integral", "iiint": "an integral", "oint": "an integral", "sum": "a sum",
    "prod": "a product", "lim": "a limit", "limsup": "a limit", "liminf": "a limit", "partial": "a derivative",
    "sup": "a supremum", "inf": "an infimum",
}  # fmt: skip
FUNCTIONS = words(
    "arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sin cos tan cot sec csc log ln lg "
    "exp sqrt abs max min "
    "gcd lcm"
)
GREEK = frozenset(
    words(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi "
        "omega "
        "Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega ell hbar"
    )
)
_TOKEN = re.compile(
    r"\s*(?P<token>(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])|"
    r"[0-9]+)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,4}(?![0-9A-Za-z]))?"
    r"|\.[0-9]+|\\[A-Za-z]+|\\[{}|]|[A-Za-z]+|\S)"
)
_NAMES = re.compile(r"^(?:arc(?:sin|cos|tan|cot|sec|csc)|(?:sin|cos|tan|cot)h?|sec|csc|log|ln|lg|exp|sqrt|abs|pi|"
        r"infinity|infty|inf"
                    r"|max|min|gcd|lcm|theta|alpha|beta)")  # fmt: skip


class Unread(ValueError):
    """The text cannot be read; the message says why."""


class Unevaluated(Unread):
    """The text contains a sum, integral, limit or derivative."""


def tokens(text: str) -> list[tuple[str, bool]]:
    """(token, whether a space comes before it)."""
    found, place = [], 0
    while match := _TOKEN.match(text, place):
        token, spaced = match["token"], match.start("token") > place
        place = match.end()
        if token.isalpha() and len(token) > 1:
            for part in _letters(token):
                found.append((part, spaced))
                spaced = False
        else:
            found.append((token, spaced))
        if len(found) > MAX_TOKENS:
            raise Unread("the expression is too long")
    return found


def _letters(run: str) -> list[str]:
    """Split a run of letters into known names and single letters; a longer run is a word, which is an error."""
    parts, rest = [], run
    while rest:
        if match := _NAMES.match(rest):
            parts.append("\\" + {"infinity": "infty", "inf": "infty"}.get(match[0], match[0]))
            rest = rest[match.end() :]
        else:
            parts.append(rest[0])
            rest = rest[1:]
    if sum(len(p) == 1 for p in parts) > 3 or run.casefold() in _WORDS:
        raise Unread(f"the word {run[:30]!r}")
    return parts


_WORDS = frozenset(words(
    "is not no or and the a of an if so as at by it be to yes nor all any per in on we up mod are "
        "was but for has odd out "
    "off one two six ten nan max min sup via may let set sum cat dog")
) - {"a", "max", "min", "sum"}  # fmt: skip


class Cursor:
    """Takes tokens one after another."""

    def __init__(self, text: str):
        self.tokens = tokens(text)
        self.place = 0

    @property
    def next(self) -> str:
        """The token that `take` returns next; empty at the end."""
        return self.tokens[self.place][0] if self.place < len(self.tokens) else ""

    def ahead(self, n: int) -> str:
        """The token `n` places after the next one."""
        place = self.place + n
        return self.tokens[place][0] if place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        """Take the next token. Raises Unread if there is none, or if it is not `wanted`."""
        token = self.next
        if not token or (wanted and token != wanted):
            raise Unread(f"{wanted or 'more'!r} is missing")
        self.place += 1
        return token
