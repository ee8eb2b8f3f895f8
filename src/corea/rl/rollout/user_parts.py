"""Loads the user's own functions before the model, so that a wrong name fails at once."""

from __future__ import annotations

from corea.config import TrainConfig
from corea.rl.rollout.advantage import ADVANTAGES
from corea.rl.rollout.reward import DISTANCES, worst_distance
from corea.tasks.prompts import get_prompt
from corea.user_code import load_function


def check_user_parts(cfg: TrainConfig) -> None:
    """Load every function that `cfg` names, except reward.extra, which is loaded in processes (ExtraRewards.start).

    Raises:
        UserError: one cannot be loaded, or a distance is not finite somewhere.
    """
    get_prompt(cfg.model.prompt)
    if cfg.trainer.advantage not in ADVANTAGES:
        load_function("trainer.advantage", cfg.trainer.advantage, allowed=", ".join(ADVANTAGES))
    if cfg.reward.distance not in DISTANCES:
        worst_distance(cfg.reward.distance, cfg.reward.eps)
