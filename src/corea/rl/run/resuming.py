"""Loads a checkpoint into the policy, also one of another number of processes or another ZeRO stage."""

from __future__ import annotations

import logging

from corea.config import TrainerConfig
from corea.errors import UserError
from corea.rl.run import distributed
from corea.rl.run.checkpoint import Checkpoint, Checkpoints
from corea.rl.update.policy import Policy

log = logging.getLogger(__name__)
Layout = dict[str, int]


def state_layout(cfg: TrainerConfig) -> Layout:
    """The settings that the files of the optimizer state depend on; progress.json holds them."""
    return {"processes": distributed.world_size(), "zero_stage": cfg.zero_stage, "offload": cfg.offload}


def load_checkpoint(policy: Policy, checkpoints: Checkpoints, found: Checkpoint) -> None:
    """Load weights and optimizer state. Every rank calls this.

    The same layout gives the same bits. Any other goes through a universal checkpoint, which rank 0 writes beside the
    checkpoint and deletes at the end.

    Raises:
        UserError: the conversion fails, or the disk is full.
    """
    current = state_layout(policy.cfg)
    stored = {key: found.progress.get(key, value) for key, value in current.items()}
    if stored == current or stored["zero_stage"] == current["zero_stage"] == 0:  # stage 0 has one file for all
        policy.load(found.path)
        return
    if distributed.rank() == 0:
        log.info("the checkpoint has %s, this run %s: converting", _words(stored), _words(current))
    try:
        with checkpoints.converted(
            found, lambda folder: policy.write_universal(found.path, folder, stored["zero_stage"])
        ) as folder:
            policy.load_universal(folder)
    except UserError:
        raise
    except Exception as error:  # DeepSpeed's converter raises anything, assertions included
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{found.path}: written with {_words(stored)}, and cannot be converted for {_words(current)} "
            f"({type(error).__name__}: {reason}); continue with the same, or start a new run from "
            f"model.path={found.path / 'model'}"
        ) from error


def _words(layout: Layout) -> str:
    words = f"processes={layout['processes']} trainer.zero_stage={layout['zero_stage']}"
    return f"{words} trainer.offload=true" if layout["offload"] else words
