"""Learning rate as a function of the step alone, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from corea.config import OptimizerConfig


def learning_rate(step: int, steps: int, cfg: OptimizerConfig) -> float:
    """Rate of step number `step` (from 0) of `steps`: linear warm-up, then constant, or linear or cosine to 0.

    The ramp has warmup * steps steps and reaches cfg.lr on the last of them; a decay would reach 0 on the step after
    the last.
    """
    ramp = int(cfg.warmup * steps)
    if step < ramp:
        return cfg.lr * (step + 1) / ramp
    if cfg.schedule == "constant":
        return cfg.lr
    progress = min(1.0, (step - ramp) / max(1, steps - ramp))
    if cfg.schedule == "linear":
        return cfg.lr * (1 - progress)
    return cfg.lr * 0.5 * (1 + math.cos(math.pi * progress))
