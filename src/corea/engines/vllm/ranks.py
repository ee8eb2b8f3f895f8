"""Several processes that each run vLLM: how they join, and which of them share one copy of the model."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from corea.errors import UserError

SHARED_MEMORY = Path("/dev/shm")
"""Where Linux shows shared memory."""


def processes() -> int:
    """Processes that the launcher has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


class Share:
    """The `size` neighbouring ranks that hold one copy of the model: 0..size-1, size..2*size-1 and so on."""

    def __init__(self, size: int):
        """
        Raises:
            UserError: the number of processes is not a multiple of `size`.
        """
        self.size = size
        if processes() % size:
            raise UserError(
                f"engine.tensor_parallel={size}: the number of processes must be a multiple of it, and there "
                f"{'is 1' if processes() == 1 else f'are {processes()}'}; start them with torchrun --nproc-per-node"
            )

    def vllm_options(self) -> dict[str, Any]:
        """Arguments of vLLM in this process."""
        if processes() == 1:
            return {}
        return {"tensor_parallel_size": self.size, "distributed_executor_backend": "external_launcher"}

    def joined(self, *lists: list) -> tuple[list[list], slice]:
        """The lists of all ranks of the share, each joined in order of rank, and the place of this rank's items.

        All lists have one item per prompt of this rank.
        """
        if self.size == 1:
            return list(lists), slice(None)
        from vllm.distributed.parallel_state import get_tp_group

        group = get_tp_group()
        every: list[Any] = [None] * self.size
        dist.all_gather_object(every, lists, group=group.cpu_group)
        first = sum(len(part[0]) for part in every[: group.rank_in_group])
        merged = [[item for part in every for item in part[k]] for k in range(len(lists))]
        return merged, slice(first, first + len(lists[0]))


def join_launcher(share: Share) -> None:
    """Open the process group of all ranks, of which vLLM makes its own groups."""
    if processes() == 1:
        return
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=timedelta(minutes=30))
    if share.size > 1 and not torch.cuda.is_available():
        _remove_stale_memory(share.size)


def _remove_stale_memory(size: int) -> None:
    """Remove shared memory that an earlier run has left behind.

    On a CPU vLLM names it after the ranks of a share alone and refuses to start while it exists, and a run that is
    killed does not remove it.
    """
    first = dist.get_rank() // size * size
    if dist.get_rank() == first and SHARED_MEMORY.is_dir():
        ranks = "-".join(map(str, range(first, first + size)))
        for file in SHARED_MEMORY.iterdir():
            if "-tp:" in file.name and f"-[{ranks}]-cpushm_" in file.name:
                file.unlink(missing_ok=True)
    dist.barrier()
