"""A run folder with a model before and after and a few questions; tables of recorded answers and their replay."""

import json
import shutil
from importlib import resources
from pathlib import Path

import collect_helpers
import pytest
import torch
from collect_helpers import FEW, collect
from safetensors.torch import load_file, save_file

from corea.answers.table import read_answers
from corea.collecting.replay_tables import replay_answers
from corea.composition import compose
from corea.run_folder import prepare_run_dir


@pytest.fixture(autouse=True)
def fresh_engine():
    collect_helpers.ASKED.clear()
    collect_helpers.INTERRUPT_AFTER.clear()


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """What corea.train leaves: config.yaml and model/, here with weights a little off."""
    run = tmp_path_factory.mktemp("run")
    prepare_run_dir(run, compose("train", "logger=none", *FEW))
    shutil.copytree(Path(str(resources.files("corea"))) / "models" / "tiny_slm", run / "model")
    weights = load_file(run / "model" / "model.safetensors")
    torch.manual_seed(0)
    save_file({k: v + 0.02 * torch.randn_like(v) for k, v in weights.items()}, run / "model" / "model.safetensors")
    return run


@pytest.fixture(scope="module")
def collected(trained, tmp_path_factory) -> Path:
    """A run folder with its answers; not to be written to."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("collected") / "run"))
    collect(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of its own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def write(tmp_path):
    def to_file(name, rows):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return to_file


@pytest.fixture
def replay(tmp_path):
    def run(*overrides):
        rows = replay_answers(compose("collect", "engine=replay", *overrides).engine, tmp_path / "out")
        read_answers(tmp_path / "out" / "answers.parquet", tiers=rows["tier"].nunique() > 1)
        return rows.set_index(["question_id", "tier"]).sort_index()

    return run
