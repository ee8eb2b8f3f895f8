"""The folder that corea.publish writes, served by vLLM as it is: alone, and as the small model of a cascade."""

import json
import math
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
from test_served_training import SERVE, settings

from answer_tables import config, simulated
from corea.collecting.answer_rows import describe
from corea.collecting.confidence_signals import to_record
from corea.collecting.plan import Tier
from corea.composition import compose
from corea.config import HFEngineConfig, OpenAIEngineConfig, PriceConfig, PublishConfig
from corea.engines.loading import model_location
from corea.evaluation.pipeline import run_evaluation
from corea.publish import main
from corea.report.result_files import write_files
from corea.run_folder import prepare_run_dir
from corea.types import Sampling
from loopback_server import serving

pytestmark = pytest.mark.vllm
QUESTIONS = [
    f"State the final answer to the following arithmetic problem: {q} ="
    for q in ("4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6")
]
PROMPTS = [[{"role": "user", "content": question}] for question in QUESTIONS]
GREEDY = Sampling(temperature=0.0, max_tokens=24)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("publish")
    prepare_run_dir(folder / "run", compose("train", "logger=none"))
    packaged = model_location("package:tiny_slm")
    shutil.copytree(packaged, folder / "run" / "model", ignore=shutil.ignore_patterns("__pycache__"))
    simulated(20)[0].to_parquet(folder / "run" / "answers.parquet", index=False)
    write_files(run_evaluation(config(folder / "run" / "answers.parquet", rule="llm_accuracy")), folder / "run")
    main(PublishConfig(run=str(folder / "run"), folder=str(folder / "out")))
    return folder / "out"


@pytest.fixture(scope="module")
def vllm_url(published, tmp_path_factory):
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(published), *SERVE]
    with serving(command, settings(), tmp_path_factory.mktemp("vllm") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def ours(published):
    """What transformers answers with the same weights, with the log-probabilities of its tokens."""
    from corea.engines.local.hf import HFEngine

    sampling = replace(GREEDY, record=to_record(("avg_prob",), False))
    return [c for (c,) in HFEngine(str(published), dtype="float32").generate(PROMPTS, sampling)]


def test_vllm_serves_a_published_folder_and_answers_as_transformers_does(published, vllm_url, ours):
    from corea.engines.remote.openai_chat import OpenAIEngine

    assert "# " in (published / "README.md").read_text()
    client = OpenAIEngine(str(published), base_url=vllm_url, key_env=None, cache=None)
    served = [c.text for (c,) in client.generate(PROMPTS, GREEDY)]
    client.close()
    assert served == [c.text for c in ours]
    assert all("<answer>" in text for text in served)
    assert json.loads((published / "config.json").read_text())["model_type"]


def tier(number, path, engine, max_tokens, **more) -> Tier:
    return Tier(
        tier=number,
        label=f"tier{number}",
        name=path,
        path=path,
        engine=engine,
        revision=None,
        dtype="float32",
        prompt="plain",
        temperature=0.0,
        max_prompt_tokens=None,
        max_tokens=max_tokens,
        samples=1,
        seed=0,
        price=PriceConfig(input=1, output=2),
        expects_confidence=number == 0,
        **more,
    )


@contextmanager
def cascade(tiers, threshold, folder):
    """The URL of corea.serve with two tiers and a threshold of avg_prob."""
    point = {"dataset": "sums", "signal": "avg_prob", "thresholds": [threshold], "recalibrate": "none"}
    point |= {"rule": {"name": "fixed", "note": None}, "expected": {}}
    file = folder / "operating_point.json"
    file.write_text(json.dumps({"schema": 1, **point, **describe(tiers), "datasets": {"sums": point}, "tiers": {}}))
    given = [f"operating_point={file}", f"hydra.run.dir={folder / 'run'}", "serve.port=0"]
    command = [sys.executable, "-m", "corea.serve", *given]
    with subprocess.Popen(command, env=settings(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(line.split()[-1] for line in process.stdout if line.startswith("serving on "))
        finally:
            process.terminate()


def test_corea_serves_a_cascade_whose_small_model_runs_in_vllm(published, vllm_url, ours, tmp_path):
    import openai

    from corea.engines.local.hf import HFEngine
    from corea.tasks.parsing import tag_contents

    sure = [math.fsum(map(math.exp, c.logprobs)) / len(c.logprobs) for c in ours]
    kept, deferred = sure.index(max(sure)), sure.index(min(sure))
    large = HFEngine("package:tiny_llm", dtype="float32").generate([PROMPTS[deferred]], replace(GREEDY, max_tokens=64))[
        0
    ][0]
    tiers = [
        tier(
            0,
            str(published),
            OpenAIEngineConfig(base_url=vllm_url, key_env=None, cache=None),
            max_tokens=24,
            signals=("avg_prob",),
        ),
        tier(1, "package:tiny_llm", HFEngineConfig(), max_tokens=64),
    ]
    with cascade(tiers, (max(sure) + min(sure)) / 2, tmp_path) as url:
        client = openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)
        for number, place, reason, completion in ((kept, 0, "kept", ours[kept]), (deferred, 1, "low", large)):
            found = client.chat.completions.create(model="corea", messages=PROMPTS[number])
            assert (found.corea["tier"], found.corea["reason"]) == (place, reason)
            assert found.corea["confidence"] == pytest.approx(sure[number], abs=1e-3)
            assert found.choices[0].message.content == tag_contents(completion.text, "answer")[-1]
        chunks = list(client.chat.completions.create(model="corea", messages=PROMPTS[deferred], stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == tag_contents(large.text, "answer")[-1]
