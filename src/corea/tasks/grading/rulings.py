"""Verdicts with their reasons, and the one setting that they depend on."""

from __future__ import annotations

from corea.types import Outcome, Verdict

NOTE = 200
"""Maximum characters of a note."""
_settings = {"unevaluated": "wrong"}


class UnreadableGold(ValueError):
    """The grader cannot read the gold answer; the message says why."""


def verdict(outcome: Outcome, note: str = "") -> Verdict:
    """The verdict with this outcome; `correct` is None if the gold cannot be read."""
    right = None if outcome is Outcome.UNREADABLE_GOLD else outcome is Outcome.CORRECT
    return Verdict(outcome=outcome, correct=right, note=" ".join(note.split())[:NOTE])


CORRECT = verdict(Outcome.CORRECT)


def wrong(note: str) -> Verdict:
    """Verdict of a wrong answer."""
    return verdict(Outcome.WRONG, note)


def unparsed(note: str) -> Verdict:
    """Verdict of an answer that cannot be read."""
    return verdict(Outcome.UNPARSED, note)


def unreadable_gold(gold: str, why: str) -> Verdict:
    """Verdict if the gold answer cannot be read."""
    shown = " ".join(gold.split())
    shown = repr(shown if len(shown) <= 60 else shown[:57] + "...")
    return verdict(Outcome.UNREADABLE_GOLD, f"gold {shown} cannot be read: {why}")


def unevaluated() -> str:
    """data.grading.unevaluated of this process: wrong or right."""
    return _settings["unevaluated"]


def set_unevaluated(value: str) -> None:
    """Set the verdict of answers that equal the gold but are not evaluated, from now on."""
    _settings["unevaluated"] = value
