"""Processes of a run. One process needs no launcher; torchrun and the deepspeed launcher set what several need."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from corea.errors import Interrupted, UserError

NEEDED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def set_environment() -> None:
    """Describe a single process where no launcher has: without these DeepSpeed looks for MPI. Then take this process's
    own GPU, or all of a machine would load their model onto the first."""
    if "WORLD_SIZE" not in os.environ:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in alone.items()})
    missing = [key for key in NEEDED if key not in os.environ]
    if missing:
        raise UserError(f"WORLD_SIZE is set but {', '.join(missing)} not: start several processes with torchrun")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def launched() -> tuple[int, int]:
    """(number of this process, number of processes) by what the launcher says, before they have joined."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def import_deepspeed():
    """DeepSpeed without its start-up noise.

    On a CPU it would compile a shared-memory all-reduce (a minute, and a compiler); gloo does the same work.
    """
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    with quiet():
        import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if os.environ.get("DS_ACCELERATOR") == "cpu":
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


@contextmanager
def quiet() -> Iterator[None]:
    """No INFO lines: DeepSpeed tries out compilers while it starts, and Python's build tools log every attempt."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def rank() -> int:
    """Number of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def left_at_the_end() -> Iterator[None]:
    """Part from the other processes when the work is done or the user stops it, all at one time.

    A process that ends with its connections open is sometimes aborted while its threads still serve them, and its
    launcher then calls a finished run a failure. After an error the others may still wait for this process, and a
    parting for them.
    """
    try:
        yield
    except Interrupted:
        _leave()
        raise
    _leave()


def _leave() -> None:
    barrier()
    if dist.is_initialized():
        import deepspeed

        deepspeed.comm.destroy_process_group()


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def gather(value: Any) -> list[Any]:
    """The value of every process, in order of rank; values are small Python objects."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
