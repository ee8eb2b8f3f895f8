"""A real vLLM server: training that hands it the weights, and collecting from what it then holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from corea.engines.loading import model_location
from loopback_server import serving

pytestmark = pytest.mark.vllm
SERVE = ["--dtype", "float32", "--max-model-len", "128", "--enforce-eager", "--load-format", "safetensors"]


def settings(**more):
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "WARNING"}
    return {**os.environ, "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", **quiet, **more}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    server = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model_location("package:tiny_slm")]
    command = [*server, *SERVE, "--logprobs-mode", "processed_logprobs"]
    environment = settings(VLLM_SERVER_DEV_MODE="1")
    with serving(command, environment, tmp_path_factory.mktemp("serve") / "log") as address:
        yield address


def train(url, run, *overrides):
    given = ["trainer=debug", "logger=none", "engine=vllm_server", f"engine.base_url={url}", f"hydra.run.dir={run}"]
    command = [sys.executable, "-m", "corea.train", *given, *overrides]
    return subprocess.run(command, capture_output=True, text=True, env=settings())


def test_training_hands_a_server_its_weights(url, tmp_path):
    from corea.engines.local.hf import HFEngine
    from corea.engines.remote.openai_chat import OpenAIEngine
    from corea.types import Sampling

    run = tmp_path / "run"
    for steps in (2, 3):  # the second start goes on from the checkpoint
        done = train(url, run, "trainer.optimizer.lr=3e-3", f"trainer.steps={steps}", "trainer.temperature=0.8")
        assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(line["grad_norm"] > 0 for line in lines)
    # The server starts with the weights before training and then follows every update.
    assert max(line["logprob_gap/max"] for line in lines) < 1e-3
    assert not list((run / "served_weights").iterdir())
    prompts = [[{"role": "user", "content": f"State the final answer to the following arithmetic problem: {q} ="}]
               for q in ("4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6")]  # fmt: skip
    greedy = Sampling(temperature=0.0, max_tokens=24)
    client = OpenAIEngine(model_location("package:tiny_slm"), base_url=url, key_env=None, cache=None)
    trained, before = HFEngine(str(run / "model")), HFEngine("package:tiny_slm", dtype="float32")
    served, ours, old = ([c.text for (c,) in e.generate(prompts, greedy)] for e in (client, trained, before))
    client.close()
    assert served == ours
    assert served != old


def test_a_server_samples_the_next_batch_during_the_update(url, tmp_path):
    run = tmp_path / "run"
    for steps in (4, 5):  # the second start samples its first batch anew: none was drawn for it
        done = train(url, run, "trainer.optimizer.lr=1e-3", f"trainer.steps={steps}", "trainer.off_policy_steps=1")
        assert done.returncode == 0, done.stderr
        assert "saves no time" not in done.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["staleness"] for line in lines] == [0, 0, 1, 1, 0]
    fresh = [line["logprob_gap/max"] for line in lines if not line["staleness"]]
    assert max(fresh) < 1e-3  # no weights reached the server while it sampled
    assert all(line["importance/kl"] > 1e-7 for line in lines if line["staleness"])


def test_sampling_is_seeded_and_long_prompts_are_errors(url, tmp_path):
    from corea.config import VLLMServerEngineConfig
    from corea.engines.local.hf import HFEngine
    from corea.engines.vllm.served import VLLMServer
    from corea.types import Engine, Sampling

    own = HFEngine("package:tiny_slm", dtype="float32")
    options = vars(VLLMServerEngineConfig(base_url=url, weights=str(tmp_path)))
    options = {k: v for k, v in options.items() if k not in ("_target_", "name")}
    engine = VLLMServer.from_model(own.model, own.tokenizer, path="", model_name="tiny", revision=None, **options)
    assert isinstance(engine, Engine)
    short, long = [{"role": "user", "content": "1 + 2 ="}], [{"role": "user", "content": "1 + " * 200}]
    told = []
    sampling = Sampling(temperature=1.0, max_tokens=16, n=4, seed=3)
    first, refused = engine.generate([short, long], sampling, told.append)
    again, other = (engine.generate([short], Sampling(temperature=1.0, max_tokens=16, n=4, seed=s))[0] for s in (3, 4))
    assert [c.token_ids for c in first] == [c.token_ids for c in again] != [c.token_ids for c in other]
    assert len({c.text for c in first}) > 1
    assert [c.finish_reason for c in refused] == ["error"] * 4
    assert told == [1]


@pytest.fixture(scope="module")
def url_with_adapters(tmp_path_factory):
    server = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model_location("package:tiny_slm")]
    command = [*server, *SERVE, "--logprobs-mode", "processed_logprobs", "--enable-lora", "--max-lora-rank", "8"]
    environment = settings(VLLM_ALLOW_RUNTIME_LORA_UPDATING="True")
    with serving(command, environment, tmp_path_factory.mktemp("lora") / "log") as address:
        yield address


def test_a_server_samples_from_the_adapters_that_it_loads_after_each_update(url_with_adapters, tmp_path):
    given = ["trainer.lora.rank=4", "trainer.optimizer.lr=3e-2", "trainer.optimizer.warmup=0", "trainer.steps=3"]
    done = train(url_with_adapters, tmp_path, *given)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["grad_norm"] > 0 for line in lines[:2])  # so that the third step samples from the second update
    assert max(line["logprob_gap/max"] for line in lines) < 1e-3
    before = load_file(Path(model_location("package:tiny_slm")) / "model.safetensors")
    merged = load_file(tmp_path / "model" / "model.safetensors")
    assert max((merged[k] - before[k]).abs().max() for k in before) > 1e-2  # far more than the gap: they were handed on
    assert list((tmp_path / "served_weights").iterdir()) == []
