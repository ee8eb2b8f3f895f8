"""corea.answer and corea.collect over a Ray cluster of two nodes, with workers that are killed."""

import os
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import live_helpers as live
import pandas as pd
import pytest
import ray_tiers

from corea.cluster.clustered_collection import cluster_answers
from corea.collecting.answering import answer_all
from corea.config import OpenAIEngineConfig, OwnEngineConfig, RayEngineConfig, RayTierConfig
from corea.types import Question
from fault_server import FaultServer

pytestmark = pytest.mark.slow
COUNT = 60
RAY = ["engine=ray", "engine.unit=5", "engine.tiers=[{actors: 2, cpus: 0.4}, {actors: 1, cpus: 0.4}]"]


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of one processor each, with 100 MB for objects."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    memory = 100 * 2**20
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": memory})
    nodes.add_node(num_cpus=1, object_store_memory=memory)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@contextmanager
def killed_node(cluster, find):
    """Inside, a thread waits until `find()` gives the id of a node, and then kills all of its processes at once."""
    dead = []

    def kill():
        while not dead:
            time.sleep(0.1)
            found = find()
            for node in list(cluster.worker_nodes):
                if node.node_id == found:
                    cluster.remove_node(node, allow_graceful=False)
                    dead.append(found)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    yield dead
    thread.join(1)


def text_of(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def pair(folder: Path):
    """Two tiers that log what they are asked in folder/0 and folder/1."""
    tiers = []
    for number in (0, 1):
        (folder / str(number)).mkdir(parents=True)
        engine = OwnEngineConfig(_target_="ray_tiers.SumEngine", params={"folder": str(folder / str(number))})
        tiers.append(live.tier(number, f"sums-{number}", engine))
    return tiers


def test_a_killed_worker_of_each_tier_loses_nothing_and_a_second_start_asks_nothing(cluster, tmp_path):
    texts = [f"{n} + {n % 3}" for n in range(COUNT)]
    file = tmp_path / "questions.parquet"
    pd.DataFrame({"question": texts, "gold": [str(n + n % 3) for n in range(COUNT)]}).to_parquet(file)
    tiers = pair(tmp_path)
    point = live.write_point(tmp_path, tiers, {"sums": {"signal": "verbalized", "thresholds": [0.5]}})
    for number in (0, 1):
        (tmp_path / str(number) / "KILL").touch()
    table = live.answer(tmp_path / "run", file, point, *RAY)
    assert [(tmp_path / str(n) / "KILLED").exists() for n in (0, 1)] == [True, True]
    assert table.question.tolist() == texts
    odd = [(n + n % 3) % 2 == 1 for n in range(COUNT)]
    assert table.tier.tolist() == [int(o) for o in odd]
    assert table.correct.all()
    small, large = (ray_tiers.asked(tmp_path / str(n)) for n in (0, 1))
    assert sorted(small) == sorted(texts)  # each once: a killed worker had not answered
    assert sorted(large) == sorted(t for t, o in zip(texts, odd, strict=True) if o)
    figures = live.summary(tmp_path / "run")
    assert (figures["questions"], figures["correct"], figures["graded"]) == (COUNT, COUNT, COUNT)
    assert figures["answered"] == {"0": odd.count(False), "1": odd.count(True)}
    local = live.answer(tmp_path / "local", file, point)
    assert local.equals(table[local.columns])
    wanted = live.summary(tmp_path / "local")
    assert figures == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in wanted.items()}
    asked = [len(ray_tiers.asked(tmp_path / str(n))) for n in (0, 1)]
    (tmp_path / "run" / "answered.parquet").unlink()
    for finished in (tmp_path / "run").glob("rows-*/finished.jsonl"):  # as if it had been killed: five of twelve units
        finished.write_text("".join(finished.read_text().splitlines(keepends=True)[:5]))
    again = live.answer(tmp_path / "run", file, point, *RAY)
    assert [len(ray_tiers.asked(tmp_path / str(n))) for n in (0, 1)] == asked
    assert again.equals(table)


def test_collecting_stores_the_answers_of_a_pool_whose_worker_is_killed(cluster, tmp_path):
    tier = pair(tmp_path)[0]
    (tmp_path / "0" / "KILL").touch()
    questions = [
        Question(id=f"q{n}", dataset="sums", source="sums", split="test", text=f"{n} + 1", gold=str(n + 1))
        for n in range(30)
    ]
    cfg = RayEngineConfig(unit=4, tiers=[RayTierConfig(actors=2, cpus=0.4)])
    found = answer_all(tier, questions, tmp_path / "answers", 64, cluster_answers(cfg))
    assert (tmp_path / "0" / "KILLED").exists()
    assert [a.question.id for a in found] == [q.id for q in questions]
    assert all(f"<answer>{n + 1}</answer>" in a.completion.text for n, a in enumerate(found))
    assert sorted(ray_tiers.asked(tmp_path / "0")) == sorted(q.text for q in questions)
    answer_all(tier, questions, tmp_path / "answers", 64)  # without Ray: the store has them all
    assert len(ray_tiers.asked(tmp_path / "0")) == len(questions)


def test_a_killed_node_loses_no_answer_and_nothing_is_asked_twice(cluster, tmp_path):
    import ray

    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    texts = [f"{n} + {n % 3}" for n in range(COUNT)]
    file = tmp_path / "questions.parquet"
    pd.DataFrame({"question": texts, "gold": [str(n + n % 3) for n in range(COUNT)]}).to_parquet(file)
    point = live.write_point(tmp_path, pair(tmp_path), {"sums": {"signal": "verbalized", "thresholds": [0.5]}})
    (tmp_path / "0" / "AWAIT").write_text(ray.get_runtime_context().get_node_id())
    pools = "engine.tiers=[{actors: 3, cpus: 0.4}, {actors: 1, cpus: 0.4}]"
    with killed_node(cluster, lambda: text_of(tmp_path / "0" / "AWAITED")) as dead:
        table = live.answer(tmp_path / "run", file, point, "engine=ray", "engine.unit=5", pools)
    assert len(dead) == 1
    assert table.question.tolist() == texts
    assert table.correct.all()
    small, large = (ray_tiers.asked(tmp_path / str(n)) for n in (0, 1))
    assert sorted(small) == sorted(texts)
    assert sorted(large) == sorted(t for n, t in enumerate(texts) if (n + n % 3) % 2)


def test_a_killed_node_pays_no_answered_call_twice(cluster, tmp_path):
    import ray
    from ray._private import state
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    head = ray.get_runtime_context().get_node_id()
    here = NodeAffinitySchedulingStrategy(head, soft=False)
    full = ray.remote(ray_tiers.Idle).options(num_cpus=0.8, scheduling_strategy=here).remote()  # the pool is elsewhere
    ray.get(full.wait.remote())
    questions = [
        Question(id=f"q{n}", dataset="sums", source="sums", split="test", text=f"question {n}", gold="")
        for n in range(12)
    ]
    last = "question 6"
    with FaultServer(lambda key, attempt: "hang" if (server.texts[key], attempt) == (last, 1) else None) as server:
        engine = OpenAIEngineConfig(base_url=server.url, key_env=None, concurrency=1)
        tier = live.tier(1, "paid", engine)

        def node_of_the_call_in_progress():
            if not any(server.texts[key] == last for _, key, _ in server.requests):
                return None
            nodes = {actor["Address"]["NodeID"] for actor in state.actors().values() if actor["State"] == "ALIVE"}
            return next(iter(nodes - {head}), None)

        cfg = RayEngineConfig(unit=4, tiers=[RayTierConfig(), RayTierConfig(actors=1, cpus=0.9)])
        with killed_node(cluster, node_of_the_call_in_progress) as dead:
            found = answer_all(tier, questions, tmp_path / "answers", 64, cluster_answers(cfg))
        assert len(dead) == 1
        assert [a.completion.text for a in found] == [f"<answer>{q.text}</answer>" for q in questions]
        asked = Counter(server.texts[key] for _, key, _ in server.requests)
        assert asked == {q.text: 1 + (q.text == last) for q in questions}  # that one had no answer yet
    del full
