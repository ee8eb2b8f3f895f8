"""Figures with their bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from corea.metrics.bootstrap import interval


@dataclass(slots=True, kw_only=True)
class Figure:
    """A number with its interval; NaN if undefined."""

    value: float
    low: float
    high: float
    n: int
    """Number of questions behind it."""

    def as_json(self, level: float) -> dict[str, Any]:
        """{"value", "ci95", "n"} with null if undefined; the middle key names the level."""
        return {"value": finite(self.value), f"ci{100 * level:g}": [finite(self.low), finite(self.high)], "n": self.n}


def finite(value: float) -> float | None:
    """JSON has no NaN: a number that is not finite becomes null."""
    return float(value) if math.isfinite(value) else None


def figures_json(figures: Mapping[str, Figure], unit: str, level: float) -> dict[str, Any]:
    """Each figure as JSON; the key of the cost names its unit."""
    return {(f"cost_{unit}" if name == "cost" else name): f.as_json(level) for name, f in figures.items()}


def figures_of(
    values: Mapping[str, np.ndarray], draws: Mapping[str, np.ndarray], n: int, level: float
) -> dict[str, Figure]:
    """A Figure of each value with the interval of its draws [R]."""
    figures = {}
    for name, value in values.items():
        low, high = interval(draws[name], level)
        figures[name] = Figure(value=float(value), low=float(low), high=float(high), n=n)
    return figures
