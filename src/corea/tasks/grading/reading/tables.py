"""Tables of words, written as one string to keep the source readable."""

from __future__ import annotations


def words(text: str) -> list[str]:
    """Split a table into its words."""
    return text.split()
