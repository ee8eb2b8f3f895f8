"""Schema of `tiers` of corea.evaluate: which columns of a wide table (one row per question) belong to which tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from omegaconf import MISSING


@dataclass
class WideTierConfig:
    """One tier of a wide table, by the names of its columns."""

    name: str = MISSING
    """Name of the model."""
    correct: str = MISSING
    """Column of its verdicts: true or false, 1 or 0."""
    confidence: Optional[str] = None
    """Column of its confidences; null: none are stated."""
    cost_usd: Optional[str] = None
    """Column of the cost of each answer in dollars, or a number if every answer costs the same."""
    prompt_tokens: Optional[str] = None
    """Column of its prompt tokens, for cascade.prices."""
    completion_tokens: Optional[str] = None
    """Column of its new tokens, for cascade.prices."""
    text: Optional[str] = None
    """Column of its texts, for audit."""
