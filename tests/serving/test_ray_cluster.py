"""corea.answer and corea.collect over a Ray cluster of two nodes, with workers that are killed."""

import os
import sys
from pathlib import Path

import live_helpers as live
import pandas as pd
import pytest
import ray_tiers

from corea.cluster.clustered_collection import cluster_answers
from corea.collecting.answering import answer_all
from corea.config import OwnEngineConfig, RayEngineConfig, RayTierConfig
from corea.types import Question

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
