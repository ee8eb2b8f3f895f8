"""Learning rate as a function of the step, so that a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from corea.config import OptimizerConfig


def learning_rate(step: int, steps: int, cfg: OptimizerConfig) -> float:
    """Learning rate of step number `step` (from 0) of `steps`: linear warm-up, then constant, linear or cosine.

    The warm-up takes warmup * steps steps, rounded, and reaches cfg.lr at its last step. A decay would reach 0 one
    step after the last.
    """
    ramp = round(cfg.warmup * steps)
    if step < ramp:
        return cfg.lr * (step + 1) / ramp
    if cfg.schedule == "constant":
        return cfg.lr
    progress = min(1.0, (step - ramp) / max(1, steps - ramp))
    if cfg.schedule == "linear":
        return cfg.lr * (1 - progress)
    return cfg.lr * 0.5 * (1 + math.cos(math.pi * progress))
