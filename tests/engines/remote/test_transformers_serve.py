"""OpenAIEngine against `transformers serve` on loopback with the large tiny model."""

import os
import sys

import pytest

from corea.engines.loading import model_location
from corea.types import Sampling
from loopback_server import serving

QUESTIONS = ["4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(URL, name of the model)"""
    model = model_location("package:tiny_llm")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with serving(command, environment, tmp_path_factory.mktemp("serve") / "log") as url:
        yield url, model


@pytest.mark.slow
def test_a_served_model_answers_as_it_does_here(server, tmp_path):
    from corea.engines.local.hf import HFEngine
    from corea.engines.remote.openai_chat import OpenAIEngine

    url, model = server
    text = "State the final answer to the following arithmetic problem: {} ="
    prompts = [[{"role": "user", "content": text.format(q)}] for q in QUESTIONS]
    greedy = Sampling(temperature=0.0, max_tokens=100)
    client = OpenAIEngine(model, base_url=url, key_env=None, cache=str(tmp_path / "cache"), tries=2)
    served = client.generate(prompts, greedy)
    client.close()
    here = HFEngine("package:tiny_llm", dtype="float32").generate(prompts, greedy)
    for (a,), (b,) in zip(served, here, strict=True):
        assert (a.text.strip(), a.finish_reason, a.error) == (b.text.strip(), "stop", "")
        assert (a.prompt_tokens, a.extra.get("tokens")) == (b.prompt_tokens, None)
        assert abs(a.completion_tokens - b.completion_tokens) <= 1  # with or without the end of sequence
