"""A real vLLM: completions beside those of our own decode loop, training with weights handed over, collecting."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from corea.engines.loading import model_location

pytestmark = pytest.mark.vllm
FEW = [
    "data.families.in_domain.calibration=6", "data.families.in_domain.test=10",
    "data.families.other_math.calibration=0", "data.families.other_math.test=0",
    "data.families.non_math.calibration=0", "data.families.non_math.test=0",
]  # fmt: skip


def question(text):
    return [{"role": "user", "content": f"State the final answer to the following arithmetic problem: {text} ="}]


PROMPTS = [question(t) for t in ("4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6", "8 - 8 + 1")]


@pytest.fixture(scope="module")
def engine():
    from corea.engines.vllm.in_process import VLLMEngine

    made = VLLMEngine("package:tiny_slm", dtype="float32", max_model_len=128)
    yield made
    made.close()


@pytest.fixture(scope="module")
def own():
    from corea.engines.local.hf import HFEngine

    return HFEngine("package:tiny_slm", dtype="float32")


def test_greedy_answers_are_those_of_our_own_loop(engine, own):
    from corea.types import Engine, Sampling

    assert isinstance(engine, Engine)
    greedy = Sampling(temperature=0.0, max_tokens=24)
    for (a,), (b,) in zip(engine.generate(PROMPTS, greedy), own.generate(PROMPTS, greedy), strict=True):
        assert (a.text, a.token_ids, a.finish_reason) == (b.text, b.token_ids, b.finish_reason)
        assert a.prompt_ids == b.prompt_ids
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def recomputed(own, completion, temperature):
    """log-probability of each token by one forward pass."""
    import torch

    ids = completion.prompt_ids + completion.token_ids
    with torch.no_grad():
        logits = own.model(torch.tensor([ids])).logits[0, len(completion.prompt_ids) - 1 : -1]
    scores = torch.log_softmax(logits / temperature, -1)
    return scores[torch.arange(len(completion.token_ids)), torch.tensor(completion.token_ids)].tolist()


def test_sampling_is_seeded_and_its_logprobs_are_those_of_the_distribution(engine, own):
    from corea.types import Sampling

    sampling = Sampling(temperature=0.7, max_tokens=24, n=4, seed=3)
    first, again = engine.generate(PROMPTS, sampling), engine.generate(PROMPTS[::-1], sampling)[::-1]
    other = engine.generate(PROMPTS, Sampling(temperature=0.7, max_tokens=24, n=4, seed=4))

    def texts(answers):
        return [[c.text for c in group] for group in answers]

    assert texts(first) == texts(again)
    assert texts(first) != texts(other)
    assert any(len(set(group)) > 1 for group in texts(first))
    for group in first:
        for completion in group:
            assert completion.logprobs == pytest.approx(recomputed(own, completion, 0.7), abs=1e-4)


def test_more_prompts_than_one_batch_holds_are_sampled(engine):
    """200 prompts of about 100 tokens: vLLM on a CPU must not read one in part, which seeded sampling cannot undo."""
    from corea.types import Sampling

    sums = [question(" + ".join(str((n * k) % 9 + 1) for k in range(1, 46))) for n in range(200)]
    answers = engine.generate(sums, Sampling(temperature=1.0, max_tokens=2, seed=0))
    assert {len(c.token_ids) for (c,) in answers} <= {1, 2}
    assert sum(c.prompt_tokens for (c,) in answers) > 16_000


def test_a_prompt_without_room_is_an_error_of_its_own(engine):
    from corea.types import Sampling

    long, short = engine.generate([question("1 + " * 200 + "1"), PROMPTS[0]], Sampling(temperature=0.0, max_tokens=3))
    assert (long[0].finish_reason, short[0].finish_reason) == ("error", "length")
    assert "the model's context is 128" in long[0].error


def test_other_weights_are_taken_over_and_the_prefix_cache_forgotten(engine, own):
    import torch

    from corea.types import Sampling

    sampling = Sampling(temperature=1.0, max_tokens=24, seed=1)
    before = engine.generate(PROMPTS, sampling)
    kept = {name: value.clone() for name, value in own.model.state_dict().items()}
    torch.manual_seed(0)
    try:
        for value in own.model.parameters():
            value.data += 0.02 * torch.randn_like(value)
        engine.sync(iter(own.model.state_dict().items()))
        after = engine.generate(PROMPTS, sampling)
        for (completion,) in after:
            assert completion.logprobs == pytest.approx(recomputed(own, completion, 1.0), abs=1e-4)
        own.model.load_state_dict(kept)
        engine.sync(iter(own.model.state_dict().items()))
        restored = engine.generate(PROMPTS, sampling)
    finally:
        own.model.load_state_dict(kept)
    assert [c.logprobs for (c,) in after] != [c.logprobs for (c,) in before]
    for (a,), (b,) in zip(restored, before, strict=True):
        assert (a.text, a.logprobs) == (b.text, pytest.approx(b.logprobs, abs=1e-6))


def verb(name, *overrides):
    command = [sys.executable, "-m", f"corea.{name}", "logger=none", *map(str, overrides)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


PACKAGED = Path(model_location("package:tiny_slm")) / "model.safetensors"
TRAIN = ["trainer=debug", "engine=vllm", "engine.max_model_len=128", "trainer.optimizer.lr=3e-3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("train") / "run"
    for steps in (2, 4):  # the second start goes on from the checkpoint
        done = verb("train", *TRAIN, f"hydra.run.dir={run}", f"trainer.steps={steps}")
        assert done.returncode == 0, done.stderr
        assert "Failed to load weights" not in done.stdout + done.stderr
    return run


def test_training_with_vllm(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(line["grad_norm"] > 0 for line in lines)
    # After every update, and after the restart, vLLM samples from the very weights that the trainer has.
    assert max(line["logprob_gap/max"] for line in lines) < 1e-3
    model = load_file(trained / "model" / "model.safetensors")
    kept = {p.name: load_file(p / "model" / "model.safetensors") for p in (trained / "checkpoints").glob("step-*")}
    assert any((model[k] != kept["step-000003"][k]).any() for k in model)


def test_training_adapters_with_vllm(tmp_path):
    done = verb("train", *TRAIN, "trainer.lora.rank=4", "trainer.optimizer.lr=3e-2", "trainer.steps=3",
                "trainer.optimizer.warmup=0", f"hydra.run.dir={tmp_path}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all(line["grad_norm"] > 0 for line in lines)
    assert max(line["logprob_gap/max"] for line in lines) < 1e-3
    merged, before = (load_file(f) for f in (tmp_path / "model" / "model.safetensors", PACKAGED))
    assert max((merged[k] - before[k]).abs().max() for k in before) > 1e-2  # far more than the gap: they were handed on
    assert (tmp_path / "model" / "adapter" / "adapter_model.safetensors").exists()


def test_weights_that_are_not_handed_over_stop_the_run(tmp_path):
    code = (
        "import sys; from corea.engines.vllm.in_process import VLLMEngine\n"
        "VLLMEngine.sync = lambda self, weights: None\n"
        "from corea.train import main; sys.argv[0] = 'corea.train'; main()"
    )
    overrides = [*TRAIN, "logger=none", f"hydra.run.dir={tmp_path}", "trainer.steps=6", "trainer.optimizer.warmup=0"]
    done = subprocess.run([sys.executable, "-c", code, *overrides], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "the engine's log-probabilities differ from the trainer's by" in done.stderr
    assert "engine.max_logprob_gap=0.05" in done.stderr


def test_collecting_with_vllm(trained, tmp_path):
    both = ["engine=vllm", "engine.max_model_len=256", "engine@llm.engine=vllm", "llm.engine.max_model_len=400"]
    given = [f"run={trained}", "before=false", *FEW, "temperature=0"]
    done = verb("collect", *given, *both, f"hydra.run.dir={tmp_path / 'vllm'}")
    assert done.returncode == 0, done.stderr
    done = verb("collect", *given, f"hydra.run.dir={tmp_path / 'hf'}")
    assert done.returncode == 0, done.stderr
    ours, theirs = (pd.read_parquet(tmp_path / name / "answers.parquet") for name in ("hf", "vllm"))
    assert len(ours) == len(theirs) == 32
    assert (ours.text == theirs.text).mean() >= 0.95  # rounding may turn a near-tie
    assert (ours.prompt_tokens == theirs.prompt_tokens).all()
