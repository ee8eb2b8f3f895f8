"""Tables of words that are written as one text, so that they can be read."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """The words of a table."""
    return text.split()
