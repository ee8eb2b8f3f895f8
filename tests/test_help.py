"""--help, --cfg and the other flags that only show something."""

from __future__ import annotations

import subprocess
import sys

import pytest

from command_line import never, shell


@pytest.mark.parametrize("verb", ["train", "sft", "collect", "evaluate", "compare"])
def test_help_lists_the_groups_and_their_choices(verb):
    command = [sys.executable, "-m", f"corea.{verb}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "logger: jsonl, none, wandb" in done.stdout
    assert done.stderr == ""


def test_help_lists_groups_but_no_schema(start):
    code, out, err = start(never, "--help")
    assert (code, err) == (0, "")
    assert "reward: brier, corea, kl_group" in out
    assert "_train" not in out
    assert "_hf_engine" not in out


def test_other_flags_of_hydra(start):
    assert "tiny_slm" in start(never, "--cfg", "job", "--package", "model")[1]
    assert "reward" in start(never, "--info", "defaults")[1]
    assert "== Flags ==" in start(never, "--hydra-help")[1]


def test_a_trainer_set_by_the_model_is_logged_once(start):
    code, out, err = start(lambda cfg: print(cfg.trainer.name), "model=qwen0.5b")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "model=qwen0.5b: using trainer=gpu, since trainer=tiny suits only the tiny model; trainer=NAME overrides this",
        "gpu",
    ]
    assert start(lambda cfg: print(cfg.trainer.name), "model=qwen0.5b", "trainer=lora")[1] == "lora\n"
    assert start(lambda cfg: print(cfg.trainer.name), "model=tiny")[1] == "tiny\n"
    assert "model=NAME also sets trainer=gpu" in start(never, "--help")[1]


BLOCK = """
import importlib.abc, runpy, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "datasets", "huggingface_hub", "requests", "httpx", "wandb"}:
            raise AssertionError(f"imports {name}")

sys.meta_path.insert(0, Block())
sys.argv = ["corea", *sys.argv[1:]]
runpy.run_module("corea." + sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "model=qwen1.5b", "reward.calib=0.5"],
        ["sft"],
        ["collect", "llm=qwen32b"],
        ["evaluate", "answers=answers.parquet"],
    ],
)
def test_showing_a_configuration_imports_nothing_heavy_and_asks_nobody(tmp_path, arguments):
    done = shell("-c", BLOCK, *arguments, "--cfg", "job", "--resolve", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "???" not in done.stdout
    assert list(tmp_path.iterdir()) == []
    if arguments[0] == "train":
        assert "path: Qwen/Qwen2.5-1.5B-Instruct" in done.stdout
        assert "calib: 0.5" in done.stdout
