"""Weights from the trainer's GPU into the memory of vLLM servers, by vLLM's own weight transfer (vLLM 0.32).

Backends: nccl broadcasts from rank 0 to the workers of all servers at once; ipc hands each worker the address of the
weights on the GPU that it shares with a rank. The servers start with VLLM_SERVER_DEV_MODE=1 and
--weight-transfer-config '{"backend": "nccl"}'. Where this cannot work, `open_transfer` says why in one log line, and
the weights go through a file (served.py).

It needs GPUs and has not been run on one yet; the tests cover the requests, and what happens without a GPU.
"""

from __future__ import annotations

import importlib.util
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from corea.config.engine_schema import VLLMServerEngineConfig
from corea.engines.vllm.server_pool import Server, ServerPool
from corea.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parameter:
    """What vLLM is told of a weight before it comes (its ParamMeta)."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


class Weights:
    """The weights of one update in the order that the servers expect (vLLM's WeightSource)."""

    def __init__(self, parameters: Sequence[Parameter]):
        self.parameters = parameters
        self.current: Iterable[tuple[str, Tensor]] = ()

    def metadata(self) -> list[Parameter]:
        """Name, type and shape of every weight."""
        return list(self.parameters)

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return in_order(self.current, [parameter.name for parameter in self.parameters])


def in_order(weights: Iterable[tuple[str, Tensor]], names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """The weights in the order of `names`; those that come too early wait. `weights` is read to its end.

    Raises:
        ValueError: a name is missing.
    """
    source = iter(weights)
    waiting: dict[str, Tensor] = {}
    for name in names:
        while name not in waiting:
            found = next(source, None)
            if found is None:
                raise ValueError(f"the weight {name} is missing")
            waiting[found[0]] = found[1]
        yield name, waiting.pop(name)
    for _ in source:  # under ZeRO-3 every rank reads all
        pass


class Control:
    """The four requests that vLLM's trainer side makes (its VLLMWeightSyncClient), to all servers at the same time."""

    def __init__(self, pool: ServerPool, servers: Sequence[Server], sizes: Sequence[int]):
        """`sizes`: workers of each server."""
        self.pool, self.servers, self.sizes = pool, servers, sizes

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Connect the workers; those of each server have the ranks after those of the one before."""
        first = [init_info.get("rank_offset", 0) + sum(self.sizes[:n]) for n in range(len(self.servers))]
        bodies = [{**init_info, "rank_offset": rank} if "rank_offset" in init_info else init_info for rank in first]
        self._all("init_weight_transfer_engine", [{"init_info": body} for body in bodies])

    def start_weight_update(self) -> None:
        """Before the first weight."""
        self._all("start_weight_update", [{}] * len(self.servers))

    def update_weights(self, update_info: Any) -> None:
        """Receive the weights; returns when they are there."""
        self._all("update_weights", [{"update_info": update_info}] * len(self.servers))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """After the last weight."""
        self._all("finish_weight_update", [{}] * len(self.servers))

    def _all(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> None:
        with ThreadPoolExecutor(len(self.servers)) as threads:
            pairs = zip(self.servers, bodies, strict=True)
            for call in [threads.submit(self.pool.call, server, path, dict(body)) for server, body in pairs]:
                call.result()


class Transfer:
    """An open connection to the servers, on every rank of the trainer."""

    def __init__(self, engine: Any, source: Weights, backend: str, forget: Callable[[], None]):
        """`engine`: vLLM's TrainerWeightTransferEngine; `forget` drops what servers computed with the old weights."""
        self.engine, self.source, self.backend, self.forget = engine, source, backend, forget

    def send(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Send the weights of one update. Every rank calls this.

        Raises:
            UserError: a server did not take them.
        """
        self.source.current = weights
        try:
            self.engine.send_weights()
            self.forget()
        except (UserError, RuntimeError, ValueError) as error:
            raise UserError(
                f"engine.transfer={self.backend}: the weights did not reach every server ({_line(error)}); start the "
                "run again, or take engine.transfer=file"
            ) from error
        finally:
            self.source.current = ()


def open_transfer(
    cfg: VLLMServerEngineConfig, pool: ServerPool, parameters: Sequence[Parameter], rank: int
) -> Transfer | None:
    """Connect to the servers; None: the weights go through a file, which a log line explains.

    Raises:
        UserError: `cfg.transfer` names a backend that cannot work here.
    """
    if cfg.transfer == "file":
        return None
    reason = obstacle(pool)
    if reason is None:
        try:
            return _connect("nccl" if cfg.transfer == "auto" else cfg.transfer, pool, parameters, rank)
        except (UserError, RuntimeError, ValueError, ImportError, OSError) as error:
            reason = _line(error)
    if cfg.transfer != "auto":
        raise UserError(f"engine.transfer={cfg.transfer}: {reason}")
    if rank == 0:
        log.info("engine.transfer=auto: weights go through a file (%s)", reason)
    return None


def obstacle(pool: ServerPool) -> str | None:
    """Why vLLM's weight transfer cannot work; None: it may."""
    if not torch.cuda.is_available():
        return "the trainer has no GPU"
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed beside the trainer"
    for server in pool.alive():
        check = {"method": "_check_weight_transfer_engine"}  # of vLLM's worker: raises where nothing is configured
        if pool.status(server, "collective_rpc", check) != 200:
            return f"{server.url} was not started with VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config"
    return None


def _connect(backend: str, pool: ServerPool, parameters: Sequence[Parameter], rank: int) -> Transfer:
    from vllm.distributed.weight_transfer import HTTPVLLMWeightSyncClient, WeightTransferTrainerFactory

    servers, source = pool.alive(), Weights(parameters)
    sizes = [pool.workers(server) for server in servers]
    client: Any
    if backend == "ipc":
        from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

        if len(servers) > 1:
            raise UserError("ipc is for one server, which shares the GPUs of the trainer")
        client = HTTPVLLMWeightSyncClient(pool.root(servers[0]))
        engine = WeightTransferTrainerFactory.trainer_init(IPCTrainerInitInfo(rank=rank), client=client, source=source)
    else:
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        client = Control(pool, servers, sizes)
        with held_port(servers[0].url) as (where, port):
            info = NCCLTrainerInitInfo(where, port, 1 + sum(sizes), rank=rank)
            engine = WeightTransferTrainerFactory.trainer_init(info, client=client, source=source)
    if rank == 0:
        log.info("weights go to %d worker(s) of vLLM by %s", sum(sizes), backend)

    def forget() -> None:
        for server in servers if rank == 0 else ():
            pool.forget(server)

    return Transfer(engine, source, backend, forget)


@contextmanager
def held_port(url: str) -> Iterator[tuple[str, int]]:
    """(address of this machine as the server at `url` sees it, a port on which only a store of this program listens).

    Inside, the port is bound without a listener. The system then gives it to no other process, and a listener that sets
    SO_REUSEADDR, as those of torch and vLLM do, may still take it.
    """
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # connecting sends nothing
        probe.connect((parts.hostname or "127.0.0.1", parts.port or 80))
        address = probe.getsockname()[0]
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((address, 0))
        yield address, held.getsockname()[1]


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
