"""The folder that corea.publish writes, served by vLLM as it is."""

import json
import shutil
import sys

import pytest
from test_served_training import SERVE, settings

from answer_tables import config, simulated
from corea.composition import compose
from corea.config import PublishConfig
from corea.engines.loading import model_location
from corea.evaluation.pipeline import run_evaluation
from corea.publish import main
from corea.report.result_files import write_files
from corea.run_folder import prepare_run_dir
from loopback_server import serving

pytestmark = pytest.mark.vllm
QUESTIONS = ("4 + 3 + 1", "9 - 2 - 3 + 5", "1 + 2 + 3 + 4 + 5 + 6")


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


def test_vllm_serves_a_published_folder_and_answers_as_transformers_does(published, tmp_path):
    from corea.engines.local.hf import HFEngine
    from corea.engines.remote.openai_chat import OpenAIEngine
    from corea.types import Sampling

    assert "# " in (published / "README.md").read_text()
    prompts = [
        [{"role": "user", "content": f"State the final answer to the following arithmetic problem: {q} ="}]
        for q in QUESTIONS
    ]
    greedy = Sampling(temperature=0.0, max_tokens=24)
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(published), *SERVE]
    with serving(command, settings(), tmp_path / "log") as url:
        client = OpenAIEngine(str(published), base_url=url, key_env=None, cache=None)
        served = [c.text for (c,) in client.generate(prompts, greedy)]
        client.close()
    ours = [c.text for (c,) in HFEngine(str(published), dtype="float32").generate(prompts, greedy)]
    assert served == ours
    assert all("<answer>" in text for text in served)
    assert json.loads((published / "config.json").read_text())["model_type"]
