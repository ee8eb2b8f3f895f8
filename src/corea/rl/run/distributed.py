"""The processes of a run. A single process needs no launcher; several are started by torchrun or deepspeed."""

from __future__ import annotations

import logging
import os
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from corea.errors import Interrupted, UserError

NEEDED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_set_here: set[str] = set()
"""Variables of NEEDED that this process has set for itself."""


def set_environment() -> None:
    """Set the launcher's variables for a single process, because DeepSpeed looks for MPI without them. Then select this
    process's GPU; otherwise all processes of a machine would load their model onto the first."""
    if "WORLD_SIZE" not in os.environ:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in alone.items()})
        _set_here.update(alone)
    missing = [key for key in NEEDED if key not in os.environ]
    if missing:
        raise UserError(f"WORLD_SIZE is set, but {', '.join(missing)} is not: start several processes with torchrun")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def join_alone() -> None:
    """Make the process group of a single process that no launcher started.

    It opens no port: another process could have taken the one that `set_environment` chose.
    """
    if "WORLD_SIZE" in _set_here and not dist.is_initialized():
        dist.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo", store=dist.HashStore(), rank=0, world_size=1
        )


def start_process_group() -> None:
    """Join the processes of the launcher without DeepSpeed; a single process has none."""
    set_environment()
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # transformers imports DeepSpeed when it saves a model
    if int(os.environ["WORLD_SIZE"]) > 1 and not dist.is_initialized():
        patience = timedelta(hours=2)  # the first rank evaluates while the others wait
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=patience)


def import_deepspeed() -> ModuleType:
    """Import DeepSpeed without its start-up messages.

    On a CPU it would compile a shared-memory all-reduce, which takes a minute and a compiler; gloo is used instead.
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
    """Suppress INFO lines: DeepSpeed tests for compilers while it starts, and Python's build tools log every
    attempt."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def rank() -> int:
    """Rank of this process; 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def shutdown_together() -> Iterator[None]:
    """Destroy the process group on all ranks together when the work is done or the user stops it.

    A process that exits with open connections is sometimes aborted by its library threads, and the launcher then
    reports a finished run as failed. After any other error the group is not destroyed: the other ranks may be waiting
    elsewhere, and a barrier would hang.
    """
    try:
        yield
    except Interrupted:
        _destroy_process_group()
        raise
    _destroy_process_group()


def _destroy_process_group() -> None:
    barrier()
    if dist.is_initialized():
        deepspeed = sys.modules.get("deepspeed")
        if deepspeed is not None and deepspeed.comm.is_initialized():
            deepspeed.comm.destroy_process_group()
        else:
            dist.destroy_process_group()
    for key in _set_here:  # commands that this process starts later are no ranks of this run
        os.environ.pop(key, None)
    _set_here.clear()


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over all ranks; a missing one counts as 0."""
    if world_size() == 1:
        return
    trained = [p for p in parameters if p.requires_grad]
    for p in trained:
        if p.grad is None:
            p.grad = torch.zeros_like(p)
    flat = torch.cat([p.grad.flatten() for p in trained])
    dist.all_reduce(flat)
    for p, total in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
        p.grad.copy_(total.view_as(p))


def gather(value: Any) -> list[Any]:
    """The values of all ranks, in order of rank. Values are small picklable objects."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
