"""Selects the best checkpoint by a validation metric, and stops training if none improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from corea.config.trainer_schema import LOWER_IS_BETTER

WORST = 1.0
"""Largest ECE and Brier score."""


def selection_value(by: str, metrics: Mapping[str, float]) -> float:
    """The validation metric `by`, with a missing confidence counted as the worst one.

    The metrics themselves cover only the answers with a confidence. Without this correction, a model that states almost
    none could win. ece and brier: a missing confidence counts as an error of 1. auroc: it ranks below all others; this
    AUROC follows from cascade_area, which uses the same ranking.
    """
    value, missing = float(metrics[by]), float(metrics["missing_confidence_share"])
    if by in LOWER_IS_BETTER and missing:
        return missing * WORST + ((1 - missing) * value if missing < 1 else 0.0)
    accuracy = float(metrics["pass@1"])
    if by == "auroc" and missing and 0 < accuracy < 1:
        return 0.5 + float(metrics["cascade_area"]) / (accuracy * (1 - accuracy))
    return value


@dataclass(slots=True)
class BestCheckpoint:
    """The best validation so far. Stored in every checkpoint, so that a resumed run makes the same selection."""

    by: str | None
    """Validation metric; None: no checkpoint is selected."""
    patience: int | None = None
    """Validations in a row without improvement after which training stops; None: never."""
    step: int = 0
    """Step of the best validation; 0: none yet."""
    value: float | None = None
    """Metric of that validation, see `selection_value`."""
    worse: int = 0
    """Number of validations since then."""

    def update(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Record the validation after step `step`; True if it is better than all before. NaN is never better."""
        if self.by is None:
            return False
        value = selection_value(self.by, metrics)
        sign = -1.0 if self.by in LOWER_IS_BETTER else 1.0
        improved = math.isfinite(value) and (self.value is None or sign * value > sign * self.value)
        if improved:
            self.step, self.value, self.worse = step, value, 0
        else:
            self.worse += 1
        return improved

    @property
    def exhausted(self) -> bool:
        """True when training should stop early."""
        return self.patience is not None and self.worse >= self.patience

    def state(self) -> dict[str, Any]:
        """The part that a checkpoint stores."""
        return asdict(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore `state()`; ignored if it belongs to another metric."""
        if state.get("by") == self.by:
            self.step, self.value, self.worse = state["step"], state["value"], state["worse"]
