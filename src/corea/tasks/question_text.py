"""Functions of a question's text alone: a key that ignores case and spacing, its split, and a number in [0, 1)."""

from __future__ import annotations

import hashlib
import re


def normalise(text: str) -> str:
    """Lower case, single spaces: questions with the same result count as the same question."""
    return re.sub(r"\s+", " ", text.strip().lower())


def partition(text: str) -> str:
    """Split of a procedural question: "test" (4/64 of all texts), "calibration" (3/64), "validation" (1/64) or "train".

    It depends on a hash of the normalised text alone. A question therefore belongs to the same split in every mix, with
    any weights and seed: no training question of an earlier model can be a test question of a later mix.
    """
    digest = _digest(text)
    if digest[0] % 16 == 1:
        return "validation" if digest[1] % 4 == 0 else "calibration"
    return "test" if digest[0] % 16 == 0 else "train"


def data_set_partition(text: str) -> str:
    """Split of a question of a data set: "test", "calibration", "validation" (1/16 of all texts each) or "train".

    A data set is finite, so its validation questions are taken from the training share, which is the largest.
    """
    return {0: "test", 1: "calibration", 2: "validation"}.get(_digest(text)[0] % 16, "train")


def _digest(text: str) -> bytes:
    return hashlib.sha256(normalise(text).encode()).digest()


def fraction(text: str, purpose: str) -> float:
    """A number in [0, 1) that depends only on the normalised text and on `purpose`."""
    digest = hashlib.sha256(f"{purpose}/{normalise(text)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
