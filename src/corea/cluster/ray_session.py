"""A Ray cluster for one command: connect or start it, pools of actors, and the results as they come."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from corea.config.checks import shown
from corea.config.ray_schema import RayEngineConfig, RayTierConfig
from corea.display import say
from corea.errors import UserError

Batch = Mapping[str, Any]
"""Column -> values of a batch of rows."""


@contextmanager
def ray_session(cfg: RayEngineConfig, tiers: Sequence[int]) -> Iterator[None]:
    """Connect to the cluster of `cfg`, or use the one that this process is connected to, for the pools of `tiers`.

    Raises:
        UserError: Ray is not installed, no cluster answers, or this machine is too small for the actors.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(f"engine=ray: Ray cannot be imported ({error}); pip install 'corea[ray]'") from error
    connected = ray.is_initialized()
    own = not connected and cfg.address is None and not os.environ.get("RAY_ADDRESS")
    if not connected:
        _connect(cfg, own)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # corea shows its own
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        _require_room(cfg, tiers, own)
        yield
    finally:
        if not connected:
            ray.shutdown()


def _connect(cfg: RayEngineConfig, own: bool) -> None:
    import ray

    options: dict[str, Any] = {"include_dashboard": False} if own else {"address": cfg.address}
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"engine.address={shown(cfg.address)}: no Ray cluster answers ({reason})") from error


def _require_room(cfg: RayEngineConfig, tiers: Sequence[int], own: bool) -> None:
    """Actors that find no place would wait without an end."""
    import ray

    pools = [cfg.tier(place) for place in tiers]
    there = ray.cluster_resources()
    for name, needed in (
        ("CPU", sum(pool.actors * pool.cpus for pool in pools)),
        ("GPU", sum(pool.actors * pool.gpus for pool in pools)),
    ):
        if needed > there.get(name, 0.0) + 1e-9:
            line = f"engine.tiers: the actors reserve {needed:g} {name}s, and "
            if own:
                raise UserError(
                    f"{line}this machine has {there.get(name, 0.0):g}; give fewer actors or a smaller share"
                )
            say(f"{line}the cluster has {there.get(name, 0.0):g}; the others wait until it grows")


def run_stages(
    rows: Sequence[Mapping[str, Any]], stages: Sequence[tuple[type, tuple[Any, ...], RayTierConfig]]
) -> Iterator[Batch]:
    """Pass `rows` through pools of actors, one row at a time, and yield the batches of the last pool as they come.

    Ray restarts an actor that dies, on another node if need be, and processes its rows again.

    Args:
        stages: (class, arguments of its constructor, actors); an instance maps a batch of one row to a batch.
    """
    import ray.data

    data = ray.data.from_items([dict(row) for row in rows], override_num_blocks=len(rows))
    for kind, arguments, pool in stages:
        data = data.map_batches(
            kind,
            fn_constructor_args=arguments,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=pool.actors),
            num_cpus=pool.cpus,
            num_gpus=pool.gpus or None,
        )
    yield from data.iter_batches(batch_size=None, prefetch_batches=0)
