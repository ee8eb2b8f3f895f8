"""Runs the server: one process, or several that share a socket."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corea.config.serve_schema import ServeConfig
from corea.errors import UserError
from corea.serving.access import AccessControl, read_keys
from corea.serving.live_service import CascadeService
from corea.serving.serve_setup import ServePlan, build_service, plan_serving
from corea.serving.served_metrics import share_between_workers, worker_ended
from corea.serving.upstream import UpstreamTier

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

BACKLOG = 2048
LAST_S = 2.0
"""Seconds after the deadline in which a drained server ends."""
RESTART_S = 1.0
"""Seconds before a worker that ended unexpectedly is restarted."""
FAILED_STARTS = 3
"""Ends of workers in a row, each within START_S, after which the server gives up."""
START_S = 60.0
REFUSED, INTERRUPTED = 2, 130
"""Exit codes of a worker: a user error, Ctrl-C."""
METRICS = "metrics"
"""Folder of the run folder in which several workers count."""


def serve(cfg: ServeConfig, folder: Path) -> None:
    """Serve until SIGTERM or SIGINT; requests in progress are answered first.

    Raises:
        UserError: the operating point cannot be served, keys are lacking, or the address is taken.
    """
    plan = plan_serving(cfg)
    read_keys(cfg.serve)
    sock = listen(cfg.serve.host, cfg.serve.port)
    with sock:
        if cfg.serve.workers == 1:
            run_worker(cfg, folder, sock, 0, plan)
        else:
            _supervise(cfg, folder, sock)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError if the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # With the protocol named, accepted connections get TCP_NODELAY; else a reply can wait 40 ms.
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        return sock
    except OSError as error:
        raise UserError(f"serve.host={host}, serve.port={port}: cannot listen there ({error.strerror})") from error


def run_worker(cfg: ServeConfig, folder: Path, sock: socket.socket, worker: int, plan: ServePlan | None = None) -> None:
    """Load the models and answer requests until a signal comes."""
    import uvicorn

    loop_factory = uvicorn.Config(app="").get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        stuck = runner.run(_run(cfg, folder, sock, worker, plan or plan_serving(cfg)))
    if stuck:  # a thread of an engine would keep the process alive
        sys.stdout.flush()
        os._exit(0)


async def _run(cfg: ServeConfig, folder: Path, sock: socket.socket, worker: int, plan: ServePlan) -> bool:
    """Returns whether an engine still works when all requests have ended."""
    async with built_server(cfg, plan, folder, worker) as (server, service):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        if worker == 0:
            _announce(cfg, sock, plan)
        gc.collect()
        gc.freeze()  # collections look only at what requests leave, not at the modules and models
        watch = asyncio.create_task(_end_with_parent(server))
        try:
            await server.serve(sockets=[sock])
        finally:
            watch.cancel()
    return any(getattr(tier, "busy", False) for tier in service.tiers.values())


@asynccontextmanager
async def built_server(
    cfg: ServeConfig, plan: ServePlan, folder: Path, worker: int
) -> AsyncIterator[tuple[uvicorn.Server, CascadeService]]:
    """A server, not started yet, with its service and its watching parts; both are closed at the end."""
    from corea.serving.served_app import pulse, watch_service, watched_app
    from corea.serving.upstream_client import open_client

    watching = beat = None
    async with open_client() as client:
        service = build_service(cfg, plan, client, folder, worker)
        try:
            for tier in service.tiers.values():
                if isinstance(tier, UpstreamTier):
                    await tier.require_logprobs()
            watching = watch_service(cfg, plan, service)
            beat = asyncio.create_task(pulse(service, watching.metrics))
            app = watched_app(cfg, service, watching, AccessControl(cfg.serve))
            yield _uvicorn_server(app, cfg.serve.deadline_s), service
        finally:
            await service.close()
            if beat is not None:
                beat.cancel()
            if watching is not None:  # after the service: cancelled shadows leave records
                watching.close()


def _uvicorn_server(app: Any, deadline_s: float) -> uvicorn.Server:
    import uvicorn

    from corea.serving.joined_writes import JoiningProtocol

    config = uvicorn.Config(
        app,
        http=JoiningProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(deadline_s + LAST_S) + 1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals
    return server


async def _end_with_parent(server: Any) -> None:
    """Drain a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    while parent is not None:
        await asyncio.sleep(RESTART_S)
        if os.getppid() != parent.pid:
            server.handle_exit(signal.SIGTERM, None)
            return


@contextmanager
def _no_signals() -> Iterator[None]:
    """Replaces uvicorn's handlers, which would end the process before the service is closed."""
    yield


def _announce(cfg: ServeConfig, sock: socket.socket, plan: ServePlan) -> None:
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"{cfg.serve.model}: {plan.words}, thresholds of {next(iter(plan.points.values())).dataset}", flush=True)
    print(f"serving on http://{shown}:{port}/v1", flush=True)


def _worker_process(cfg: ServeConfig, folder: Path, sock: socket.socket, worker: int, refusals: Any) -> None:
    """`run_worker` in a process of its own, which hands a user error to its parent."""
    try:
        run_worker(cfg, folder, sock, worker)
    except UserError as error:
        refusals.put(str(error))
        sys.exit(REFUSED)
    except KeyboardInterrupt:  # Ctrl-C while the models are loaded; the parent stops, too
        sys.exit(INTERRUPTED)


def _supervise(cfg: ServeConfig, folder: Path, sock: socket.socket) -> None:
    """Run cfg.serve.workers processes; restart one that ends unexpectedly.

    Raises:
        UserError: a worker cannot start, or the workers end at their start.
    """
    share_between_workers(folder / METRICS)
    context = multiprocessing.get_context("spawn")
    stopping, failed, restarted, given_up = False, 0, False, ""
    refusals = context.SimpleQueue()
    started: dict[int, float] = {}

    def start(worker: int) -> Any:
        process = context.Process(target=_worker_process, args=(cfg, folder, sock, worker, refusals), daemon=False)
        process.start()
        started[worker] = time.monotonic()
        return process

    def stop(number: int, _: Any) -> None:
        nonlocal stopping
        stopping = True
        for process in processes:
            with suppress(ProcessLookupError, TypeError):
                os.kill(process.pid, number)

    processes: list[Any] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    processes += [start(worker) for worker in range(cfg.serve.workers)]
    while not stopping:
        time.sleep(RESTART_S)
        for worker, process in enumerate(processes):
            if not process.is_alive() and not stopping:
                failed = failed + 1 if time.monotonic() - started[worker] < START_S else 0
                worker_ended(process.pid)
                refusal = refusals.get() if process.exitcode == REFUSED and not refusals.empty() else ""
                if failed >= FAILED_STARTS or (refusal and not restarted):
                    ends = f"serve.workers={cfg.serve.workers}: {failed} workers ended at their start"
                    given_up = refusal or f"{ends}; see the errors above"
                    stop(signal.SIGTERM, None)
                    break
                why = refusal or f"it ended with code {process.exitcode}"
                log.error("worker %d is started again: %s", worker, why)
                processes[worker], restarted = start(worker), True
    for process in processes:
        process.join()
    if given_up:
        raise UserError(given_up)
