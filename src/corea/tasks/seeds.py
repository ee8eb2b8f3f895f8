"""Independent seeds from hashes."""

from __future__ import annotations

import hashlib


def base_seed(seed: int, split: str, source: str) -> int:
    """63-bit seed of a (seed, split, source), unrelated to that of any other."""
    digest = hashlib.sha256(f"{seed}/{split}/{source}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
