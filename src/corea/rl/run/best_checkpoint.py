"""Which checkpoint is best by a figure of the panel, and when to stop because none gets better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SMALL_IS_GOOD = ("ece", "brier")


@dataclass(slots=True)
class Best:
    """The best look so far. Part of every checkpoint, so a resumed run decides as the uninterrupted one."""

    by: str | None
    """Figure of the panel; None: nothing is chosen."""
    patience: int | None = None
    """Looks in a row without a better one after which to stop; None: never."""
    step: int = 0
    """Step of the best look; 0: there was none."""
    value: float | None = None
    worse: int = 0
    """Looks since."""

    def update(self, step: int, figures: Mapping[str, float]) -> bool:
        """True where this look is better than all before; a figure that is not a number never is."""
        if self.by is None:
            return False
        value = float(figures[self.by])
        sign = -1.0 if self.by in SMALL_IS_GOOD else 1.0
        better = math.isfinite(value) and (self.value is None or sign * value > sign * self.value)
        if better:
            self.step, self.value, self.worse = step, value, 0
        else:
            self.worse += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Time to stop early."""
        return self.patience is not None and self.worse >= self.patience

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return asdict(self)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept; another figure starts anew."""
        if state.get("by") == self.by:
            self.step, self.value, self.worse = state["step"], state["value"], state["worse"]
