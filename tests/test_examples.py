"""Every example of examples/ trains for real: its own function is called, and the run leaves a model."""

import json
from pathlib import Path

import pytest

from corea.composition import composer, typed
from corea.config import TrainConfig
from corea.logger import NoLogger
from corea.rl.rollout.step_questions import StepQuestions
from corea.rl.trainer import Trainer
from corea.tasks.grading import grade_many
from corea.tasks.prompts import build_messages
from corea.user_code import load_object

REPO = Path(__file__).parents[1]
EXAMPLES = {
    "reward": "my_reward",
    "prompt": "my_prompt",
    "advantage": "my_advantage",
    "distance": "my_distance",
    "data_set": "my_questions",
    "grader": "my_grader",
    "engine": "my_engine",
}


def test_every_example_is_listed():
    assert {p.parent.name: p.stem for p in (REPO / "examples").glob("*/*.yaml")} == EXAMPLES
    assert all((REPO / "examples" / folder / f"{name}.py").exists() for folder, name in EXAMPLES.items())


def example(folder: str, *overrides: str) -> TrainConfig:
    with composer("train", str(REPO / "examples" / folder)) as hydra:
        return typed(hydra, EXAMPLES[folder], [f"hydra.run.dir={folder}", *overrides])


@pytest.fixture(autouse=True)
def from_the_repository(monkeypatch):
    monkeypatch.chdir(REPO)


@pytest.mark.parametrize("folder", EXAMPLES)
def test_an_example_trains(folder, tmp_path):
    small = ("trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "data.grading.workers=1")
    Trainer(example(folder, *small), tmp_path, NoLogger()).run()
    (line,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert line["skipped_updates"] == 0
    assert line["logprob_gap/max"] < 1e-3
    assert ("reward/brevity" in line) == (folder == "reward")
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_values_of_the_examples_by_hand():
    by_rank = load_object("k", "examples/advantage/my_advantage.py:by_rank")
    assert by_rank([0.3, 0.1, 9.0]) == [0.0, -1.0, 1.0]
    assert by_rank([1.0, 1.0, 0.0, 0.0]) == pytest.approx([2 / 3, 2 / 3, -2 / 3, -2 / 3])
    cautious = load_object("k", "examples/distance/my_distance.py:cautious")
    assert (cautious(0.75, 0.25), cautious(0.25, 0.75)) == (0.5, 0.25)
    question = StepQuestions(example("grader")).take(0)[0][0]
    near, far = str(int(question.gold) + 1), str(int(question.gold) + 2)
    outcomes = [str(v.outcome) for v in grade_many([question] * 3, [near, far, "many"])]
    assert outcomes == ["correct", "wrong", "unparsed"]
    question.text = "2 + 2 ="
    assert [m["content"] for m in build_messages("examples/prompt/my_prompt.py:careful", question)][1:] == [
        "Question: 1 + 1 =",
        "<think></think> <answer>2</answer> <confidence>0.95</confidence>",
        "Question: 2 + 2 =",
    ]


def test_an_example_runs_from_the_command_line(tmp_path, warm_python):
    command = ["-m", "corea.train", "--config-dir", "examples/advantage"]
    command += ["--config-name", "my_advantage", "trainer.steps=1", "trainer.questions=1", f"hydra.run.dir={tmp_path}"]
    done = warm_python.run(*command, cwd=REPO)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "model.safetensors").exists()
