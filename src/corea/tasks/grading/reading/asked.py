"""What the question asks for, if its text says so explicitly: percent, a unit, the things that are counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from corea.tasks.grading.reading.normal import normal, squeezed
from corea.tasks.grading.reading.spoken import PERCENT
from corea.tasks.grading.reading.tables import words
from corea.tasks.grading.reading.units import Unit, read_unit

_COUNTED = re.compile(
    r"\b(?:how many|how much|what|which|number of|in|find the|wie viele|combien de|"
    r"cu[aá]nt[oa]s)\s+((?:[^\W\d_]+[ -]){0,3}[^\W\d_]+)",
    re.IGNORECASE,
)
_HOW_MANY = re.compile(r"\bhow many\s+((?:[^\W\d_]+ ){0,3}[^\W\d_]+)", re.IGNORECASE)
_FORBIDDEN = frozenset(
    words(
        "is are was were be not no never wrong false incorrect more less fewer greater maybe perhaps "
        "probably about almost nearly "
        "or and but unless except than the a an of to do does did can could would should you it that this if"
    )
)
_ALL = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question's text says about the answer; all fields are empty if there is no text."""

    percent: bool = False
    """True if it mentions percent."""
    nouns: frozenset[str] = frozenset()
    """Words after "how many", "which" and the like; they may follow a number as its label."""
    unit: Unit | None = None
    """The unit after "how many"."""
    text: str = ""
    """The text in normal form without spaces."""


NOTHING_ASKED = Asked()
"""For a question without a text."""


@lru_cache(maxsize=4096)
def asked(text: str) -> Asked:
    """Read the text of a question."""
    if not text.strip():
        return NOTHING_ASKED
    nouns: set[str] = set()
    for match in _COUNTED.finditer(text):
        nouns.update(w.casefold() for w in _ALL.findall(match[1]))
    many = _HOW_MANY.findall(text)
    unit = None
    for counted in many if len(many) == 1 else []:
        parts = counted.split()
        unit = next((u for n in range(len(parts), 0, -1) if (u := read_unit(" ".join(parts[:n])))), None)
    return Asked(
        percent=PERCENT.search(text.replace("\\%", "%")) is not None,
        nouns=frozenset(nouns - _FORBIDDEN),
        unit=unit,
        text=squeezed(normal(text[:4000])),
    )


def is_label(words: str, question: Asked) -> bool:
    """Whether the words after a number only repeat what the question counts: "5 red apples"."""
    found = [w.casefold() for w in _ALL.findall(words)]
    if not found or "".join(_ALL.findall(words)) != re.sub(r"[\s-]", "", words):
        return False
    nouns = question.nouns | {n.removesuffix("s") for n in question.nouns}
    return all(len(w) > 2 and (w in nouns or w.removesuffix("s") in nouns) for w in found)
