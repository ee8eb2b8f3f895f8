"""Functions of a question's text alone: a key that ignores case and spacing, its split, and a number in [0, 1)."""

from __future__ import annotations

import hashlib
import re


def normalise(text: str) -> str:
    """Lower case, single spaces: questions with the same result count as the same question."""
    return re.sub(r"\s+", " ", text.strip().lower())


def partition(text: str) -> str:
    """ "test" (1/16 of all texts), "calibration" (1/16) or "train", from a hash of the normalised text alone.

    A question therefore belongs to the same side in every mix, with any weights and seed: what trained yesterday's
    weights cannot turn up in tomorrow's test split.
    """
    bucket = hashlib.sha256(normalise(text).encode()).digest()[0] % 16
    return {0: "test", 1: "calibration"}.get(bucket, "train")


def fraction(text: str, purpose: str) -> float:
    """A number in [0, 1) that depends only on the normalised text and on `purpose`."""
    digest = hashlib.sha256(f"{purpose}/{normalise(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
