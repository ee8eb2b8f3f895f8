"""Lone surrogates: halves of a surrogate pair, which JSON can hold as \\ud83d and which no encoding can write."""

from __future__ import annotations

from typing import Any


def without_surrogates(value: Any) -> Any:
    """The value with every lone surrogate of its texts replaced by U+FFFD, also inside lists and dicts."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [without_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    return value
