"""Seeds that are far from one another."""

from __future__ import annotations

import hashlib


def base_seed(seed: int, split: str, source: str) -> int:
    """Seed of a source within a split: far from that of every other (seed, split, source)."""
    digest = hashlib.sha256(f"{seed}/{split}/{source}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
