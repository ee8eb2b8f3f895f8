"""Local models behind queues: larger batches for a later tier, and cores that several of them share."""

import asyncio
import os
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import live_helpers as live
import pytest

from corea.config import OwnEngineConfig
from corea.serving import batch_queue, shared_cores
from corea.serving.batch_queue import BatchQueue
from corea.serving.queued_tier import QueuedTier
from corea.serving.shared_cores import share_cores
from corea.types import Completion, Sampling

PLAIN = Sampling(temperature=0.0, max_tokens=1, n=1, seed=0)


class GatedEngine:
    """Answers each batch when `gate` lets it, and keeps the sizes of the batches."""

    def __init__(self, gate=lambda: None, device: str = "cpu"):
        self.gate, self.sizes = gate, []
        self.model = SimpleNamespace(device=SimpleNamespace(type=device))

    def generate(self, prompts, sampling, progress=None):
        self.sizes.append(len(prompts))
        self.gate()
        return [[Completion(text="7", finish_reason="stop", prompt_tokens=1, completion_tokens=1)] for _ in prompts]

    def close(self):
        pass


async def ask(queue: BatchQueue) -> None:
    await queue.ask([{"role": "user", "content": "7"}], PLAIN)


def queued(engine: GatedEngine) -> QueuedTier:
    tier = live.tier(0, "m", OwnEngineConfig(_target_="nowhere.Engine"))
    return QueuedTier(tier, engine, batch_size=8, queue_size=8, fresh_s=0.0)


@pytest.mark.parametrize(("coming", "sizes"), [(True, [3, 3]), (False, [3, 1, 2])])
def test_a_batch_waits_for_questions_on_their_way_and_for_no_others(coming, sizes, monkeypatch):
    monkeypatch.setattr(batch_queue, "PATIENCE", 10**6)

    async def scenario() -> None:
        gate = threading.Event()
        engine = GatedEngine(lambda: gate.wait(10))
        queue = BatchQueue(engine, 8, 100, lambda: coming)
        asked = [asyncio.create_task(ask(queue)) for _ in range(3)]
        while not engine.sizes:
            await asyncio.sleep(0.001)
        asked.append(asyncio.create_task(ask(queue)))  # while the first batch is answered
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*asked[:3])
        if coming:
            await asyncio.sleep(20 * queue.batch_s)
            assert engine.sizes == [3]
        else:
            await asked[3]
        asked += [asyncio.create_task(ask(queue)) for _ in range(2)]
        await asyncio.sleep(0)
        queue.more_come = lambda: False
        await asyncio.gather(*asked)
        assert engine.sizes == sizes

    asyncio.run(scenario())


def test_questions_that_do_not_come_are_waited_for_half_the_time_of_a_batch():
    async def scenario() -> None:
        starts = []

        def work() -> None:
            starts.append(time.monotonic())
            time.sleep(0.1)

        queue = BatchQueue(GatedEngine(work), 2, 100, lambda: True)
        await asyncio.gather(*(ask(queue) for _ in range(3)))
        first, second = starts
        assert second - first >= 1.5 * 0.1

    asyncio.run(scenario())


@pytest.mark.parametrize(("cores", "together"), [(1, False), (2, True)])
def test_models_work_in_turn_where_there_are_fewer_cores(cores, together, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    meeting, met = threading.Barrier(2, timeout=10 if together else 0.2), []

    def meet() -> None:
        with suppress(threading.BrokenBarrierError):
            meeting.wait()
            met.append(True)

    async def scenario() -> None:
        tiers = [queued(GatedEngine(meet)) for _ in range(2)]
        share_cores(tiers)
        await asyncio.gather(*(ask(tier.queue) for tier in tiers))

    asyncio.run(scenario())
    assert met == [True] * (2 if together else 0)


@pytest.mark.parametrize(
    ("devices", "workers", "chosen", "threads"),
    [
        (["cpu", "cpu"], 1, None, 4),
        (["cpu", "cpu"], 2, None, 2),
        (["cpu", "cuda"], 1, None, 8),
        (["cuda", "cuda"], 1, None, None),
        (["cpu", "cpu"], 16, None, 1),
        (["cpu", "cpu"], 1, "3", None),
    ],
)
def test_models_on_the_processor_get_equal_parts_of_the_threads(devices, workers, chosen, threads, monkeypatch):
    import torch

    found = []
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    shared_cores.share_cores([queued(GatedEngine(device=device)) for device in devices], workers)
    assert found == ([] if threads is None else [threads])


def test_a_model_that_waits_for_its_turn_is_ready(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    gate = threading.Event()

    async def scenario() -> None:
        slow, fast = queued(GatedEngine(lambda: gate.wait(10))), queued(GatedEngine())
        share_cores([slow, fast])
        asked = asyncio.create_task(ask(slow.queue))
        while not slow.engine.sizes:
            await asyncio.sleep(0.001)
        assert await fast.check() == ""
        assert fast.engine.sizes == []
        gate.set()
        await asked

    asyncio.run(scenario())
