"""Two processes that resume what one process saved: python resumed_processes.py FOLDER, started twice.

FOLDER holds checkpoints of one process. Rank 0 leaves results.pt: per change the figures of the next two updates and
the weights after them. It also saves checkpoints of two processes, which one process resumes.
"""

import sys
from pathlib import Path

import torch

from corea.config import LoraConfig, OptimizerConfig, TrainerConfig
from corea.rl.run import distributed
from corea.rl.run.checkpoint import Checkpoints
from corea.rl.run.resuming import load_checkpoint, state_layout
from corea.rl.update.batching import micro_batches
from corea.rl.update.policy import Policy
from rl_models import random_llama, random_rows

CHANGES = {"1 to 2": (1, 1, 0), "0 to 3": (0, 3, 0), "3 to 2": (3, 2, 0), "adapters": (2, 1, 4)}
"""Name -> ZeRO stage of one process, ZeRO stage of two processes, rank of the adapters."""
BACK = {"zero 1 to 2": (1, 2, 0), "zero 2 to 3": (2, 3, 0)}
"""Name -> ZeRO stages of two processes, before and after."""


def config(stage, rank=0):
    """Weight decay, so that the options of the parameter groups matter."""
    optimizer = OptimizerConfig(lr=1e-2, max_grad_norm=0.02, weight_decay=0.1)
    return TrainerConfig(name="test", zero_stage=stage, optimizer=optimizer, lora=LoraConfig(rank=rank))


def new_policy(stage, rank=0, seed=0):
    """Adapters belong to the weights of a base model, which are loaded, not trained."""
    return Policy(random_llama(0 if rank else seed), config(stage, rank), pad=0)


def updates(policy, count):
    """The figures of some updates on the same batch, whose rows are divided among the ranks."""
    rows = random_rows()
    mine = rows if distributed.world_size() == 1 else (rows[:12], rows[12:])[distributed.rank()]
    return [policy.update(micro_batches(mine, 48, pad=0), lr=1e-2)["grad_norm"] for _ in range(count)]


def save(policy, folder):
    """A checkpoint after one step, as the trainer saves it."""
    Checkpoints(folder, keep_last=1).save(1, state_layout(policy.cfg), policy.save)


def resumed(folder, stage, rank=0):
    """The two updates after the checkpoint in `folder`, and the weights after them."""
    policy = new_policy(stage, rank, seed=1)
    store = Checkpoints(folder, keep_last=1)
    load_checkpoint(policy, store, store.latest())
    left = sorted(path.name for path in folder.iterdir())
    return {"norms": updates(policy, 2), "weights": weights(policy), "left": left}


def weights(policy):
    """The trained weights, also where each rank holds a part."""
    with policy.gathered():
        return [p.detach().clone() for p in policy.model.parameters() if p.requires_grad]


def main():
    """All changes in one start: importing takes longer than computing."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found = {name: resumed(folder / name, new, rank) for name, (_, new, rank) in CHANGES.items()}
    for name, (old, new, rank) in BACK.items():
        policy = new_policy(old, rank)
        updates(policy, 3)
        save(policy, folder / name)
        found[name] = resumed(folder / name, new, rank)
    if distributed.rank() == 0:
        torch.save(found, folder / "results.pt")
    distributed.barrier()


if __name__ == "__main__":
    main()
