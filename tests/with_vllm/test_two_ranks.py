"""vLLM on two ranks, one thread each: the answers of one process, and training with both kinds of sharing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import two_ranks

from corea.engines.vllm.in_process import VLLMEngine
from warm_python import free_port

pytestmark = pytest.mark.vllm
TRAIN = ["trainer=debug", "engine=vllm", "engine.max_model_len=128", "trainer.optimizer.lr=3e-3", "logger=none"]


def on_two_ranks(*command):
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node", "2", "--master-port"]
    done = subprocess.run(
        [*torchrun, str(free_port()), *map(str, command)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def expected():
    engine = VLLMEngine("package:tiny_slm", dtype="float32", max_model_len=128)
    answers = engine.generate(two_ranks.PROMPTS, two_ranks.SAMPLING)
    engine.close()
    return [[(c.token_ids, c.logprobs) for c in group] for group in answers]


@pytest.mark.parametrize("size", [1, 2])
def test_two_ranks_give_the_answers_of_one_process(expected, tmp_path, size):
    on_two_ranks(two_ranks.__file__, tmp_path, size)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{size}-{rank}.json").read_text())
        assert len(found) == 2 - rank
        for group, other in zip(found, expected[rank::2], strict=True):
            for (ids, logprobs), (wanted, reference) in zip(group, other, strict=True):
                assert ids == wanted
                assert logprobs == pytest.approx(reference, abs=1e-4)


def test_training_on_two_ranks_with_one_copy_or_two(tmp_path):
    steps = {}
    for size in (1, 2):
        folder = tmp_path / str(size)
        on_two_ranks("-m", "corea.train", *TRAIN, f"engine.tensor_parallel={size}", f"hydra.run.dir={folder}")
        steps[size] = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert max(line["logprob_gap/max"] for line in steps[size]) < 1e-3  # both ranks have the trainer's weights
    for one, other in zip(steps[1], steps[2], strict=True):
        assert one["reward"] == other["reward"]
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3)
    assert all(line["grad_norm"] > 0 for line in steps[1])
