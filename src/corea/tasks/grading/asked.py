"""What the question asks for: percent, a unit, the things that are counted. Read from its text, as far as that is plain."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from corea.tasks.grading.normal import normal, squeezed
from corea.tasks.grading.spoken import PERCENT
from corea.tasks.grading.units import Unit, read_unit

_COUNTED = re.compile(
    r"\b(?:how many|how much|what|which|number of|in|find the|wie viele|combien de|cu[aá]nt[oa]s)\s+((?:[^\W\d_]+[ -]){0,3}[^\W\d_]+)",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(r"\bhow many\s+((?:[^\W\d_]+ ){0,3}[^\W\d_]+)", re.IGNORECASE)
_FORBIDDEN = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "not",
        "no",
        "never",
        "wrong",
        "false",
        "incorrect",
        "more",
        "less",
        "fewer",
        "greater",
        "maybe",
        "perhaps",
        "probably",
        "about",
        "almost",
        "nearly",
        "or",
        "and",
        "but",
        "unless",
        "except",
        "than",
        "the",
        "a",
        "an",
        "of",
        "to",
        "do",
        "does",
        "did",
        "can",
        "could",
        "would",
        "should",
        "you",
        "it",
        "that",
        "this",
        "if",
    ]
)
_ALL = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question's text says of the answer; all empty where there is no text."""

    percent: bool = False
    """It speaks of percent."""
    nouns: frozenset[str] = frozenset()
    """Words behind "how many", "which" and the like: a number of those may carry them as its label."""
    unit: Unit | None = None
    """The unit behind "how many"."""
    text: str = ""
    """In normal form without spaces."""


@lru_cache(maxsize=4096)
def asked(text: str) -> Asked:
    """Read a question."""
    if not text.strip():
        return Asked()
    nouns: set[str] = set()
    for match in _COUNTED.finditer(text):
        nouns.update(w.casefold() for w in _ALL.findall(match[1]))
    many = _HOW_MANY.findall(text)
    unit = None
    for words in many[:1] if len(many) == 1 else []:
        parts = words.split()
        unit = next((u for n in range(len(parts), 0, -1) if (u := read_unit(" ".join(parts[:n])))), None)
    return Asked(
        percent=PERCENT.search(text.replace("\\%", "%")) is not None,
        nouns=frozenset(nouns - _FORBIDDEN),
        unit=unit,
        text=squeezed(normal(text[:4000])),
    )


def is_label(words: str, question: Asked) -> bool:
    """Whether the words behind a number only repeat what the question counts: "5 red apples"."""
    found = [w.casefold() for w in _ALL.findall(words)]
    if not found or "".join(_ALL.findall(words)) != re.sub(r"[\s-]", "", words):
        return False
    nouns = question.nouns | {n.removesuffix("s") for n in question.nouns}
    return all(len(w) > 2 and (w in nouns or w.removesuffix("s") in nouns) for w in found)
