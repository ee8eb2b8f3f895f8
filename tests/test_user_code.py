"""The user's own functions: how they are named, that they take effect, and what a mistake in a name says."""

import json
import pickle

import pytest

from corea.composition import compose
from corea.config import AutoEngineConfig, ModelConfig, OwnEngineConfig
from corea.engines import TrainingEngine, TrainingEngineFactory
from corea.engines.build import build_engine, build_training_engine, engine_options
from corea.engines.loading import load_model
from corea.engines.local.hf import HFEngine
from corea.engines.vllm.served import ServedRollouts, VLLMServer
from corea.errors import UserError
from corea.rl.rollout.advantage import advantages
from corea.rl.rollout.groups import make_group
from corea.rl.rollout.reward import distance, worst_distance
from corea.rl.rollout.user_parts import check_user_parts
from corea.tasks.held_out import family_questions
from corea.tasks.prompts import PROMPTS, build_messages, get_prompt, prompt_hash
from corea.types import Completion, Question
from corea.user_code import load_file, load_function, load_object

CODE = """
from __future__ import annotations
from dataclasses import dataclass
from corea.tasks.prompts import Prompt


@dataclass
class Point:
    x: float

def double(rewards):
    return [2 * r for r in rewards]

def short(rewards):
    return [1.0]

def quarter(confidence, target):
    return abs(confidence - target) / 4

def endless(confidence, target):
    return float("inf") if confidence == 1.0 else 0.0

def rows(split):
    return [{"question": f"{split} {n}", "answer": str(n)} for n in range(40)]

def texts(split):
    return ["a", "b"]

polite = Prompt(system="Please answer.", expects_confidence=False, question="Q: {question}")
number = 3

class Mute:
    def __init__(self, model, *, revision, dtype, template, volume):
        self.model_name, self.volume = model, volume

    @classmethod
    def from_model(cls, model, tokenizer, *, volume, **_):
        return cls("m", revision=None, dtype="auto", template=None, volume=volume)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return str(tmp_path / "own_parts.py")


def test_three_forms_name_the_same_function(own):
    for name in ("own_parts.double", "own_parts:double", "own_parts.py:double", f"{own}:double"):
        assert load_function("key", name)([1.0, 2.0]) == [2.0, 4.0]


def test_a_file_is_executed_once_and_its_classes_can_be_pickled(own):
    assert load_file(own) is load_file(own)
    point = load_object("key", f"{own}:Point")(x=1.5)
    assert pickle.loads(pickle.dumps(point)) == point


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("double", "key=double: allowed is a, b, or module:name or file.py:name"),
        ("nowhere.py:f", "key=nowhere.py:f: nowhere.py cannot be imported (FileNotFoundError: no file nowhere.py)"),
        ("no_module:f", "key=no_module:f: no_module cannot be imported (ModuleNotFoundError: No module named"),
        (
            "own_parts.py:nope",
            "key=own_parts.py:nope: own_parts.py has no function nope; allowed is a, b, or module:name",
        ),
        ("own_parts.py:number", "key=own_parts.py:number: is a int; a function is required"),
    ],
)
def test_mistakes_in_a_name_are_one_line(own, name, line):
    with pytest.raises(UserError) as error:
        load_function("key", name, allowed="a, b")
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_code_that_fails_on_import_is_named(tmp_path):
    (tmp_path / "broken.py").write_text("x = 1 +\n")
    with pytest.raises(UserError, match=r"broken.py cannot be imported \(SyntaxError"):
        load_object("key", f"{tmp_path}/broken.py:x")


QUESTION = Question(id="a", dataset="d", source="s", split="train", text="2 + 2 =", gold="4")
ANSWERS = [
    Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)
    for text in (
        "<think></think> <answer>4</answer> <confidence>0.5</confidence>",
        "<think></think> <answer>5</answer> <confidence>1</confidence>",
        "no tags",
    )
]


def test_an_advantage_and_a_distance_of_the_users_own(own):
    cfg = compose("train", "trainer.advantage=own_parts.py:double", "reward.distance=own_parts:quarter")
    check_user_parts(cfg)
    group = make_group(QUESTION, ANSWERS, cfg)
    assert [r.rewards["calib"] for r in group.rollouts] == pytest.approx([-(0.5 - 1 / 3) / 4, -(1 - 1 / 3) / 4, -0.25])
    assert [r.advantage for r in group.rollouts] == pytest.approx([2 * r.reward for r in group.rollouts])
    assert distance(0.9, 0.5, "own_parts:quarter", 0.01) == pytest.approx(0.1)
    assert worst_distance("own_parts:quarter", 0.01) == 0.25


def test_what_an_own_function_returns_is_checked(own):
    with pytest.raises(UserError, match=r"own_parts.py:short: must return 3 finite numbers, one per rollout; got 1: 1"):
        advantages([0.1, 0.2, 0.3], "own_parts.py:short")
    cfg = compose("train", "reward.distance=own_parts.py:endless")
    with pytest.raises(UserError, match=r"must return a finite number for every .*; got inf for \(1, 0\)"):
        check_user_parts(cfg)


@pytest.mark.parametrize(
    "override", ["trainer.advantage=grpoo", "reward.distance=l3", "model.prompt=politely", "reward.distance=own.py"]
)
def test_a_name_that_is_neither_known_nor_a_path_is_refused(override):
    with pytest.raises(UserError, match=rf"{override.split('.py')[0]}.*: allowed is .*file\.py:"):
        compose("train", override)


def test_a_prompt_of_the_users_own(own):
    name = "own_parts.py:polite"
    assert compose("train", f"model.prompt={name}").model.prompt == name
    assert build_messages(name, QUESTION) == [
        {"role": "system", "content": "Please answer."},
        {"role": "user", "content": "Q: 2 + 2 ="},
    ]
    assert prompt_hash(name) not in {prompt_hash(p) for p in PROMPTS}
    with pytest.raises(UserError, match=r"prompt=own_parts.py:double: is a function; a corea.tasks.prompts.Prompt"):
        get_prompt("own_parts.py:double")


def test_a_data_set_from_code(own):
    data = compose("train", "data=file", "data.path=own_parts.py:rows").data
    questions = [q for split in ("calibration", "test") for q in family_questions(data, "file", split, None)]
    assert questions
    assert all(q.text == f"train {q.gold}" for q in questions)
    data = compose("train", "data=file", "data.path=own_parts.py:texts").data
    with pytest.raises(UserError, match=r"data source file.path=own_parts.py:texts: must return dicts"):
        family_questions(data, "file", "test", None)


def test_an_engine_of_the_users_own(own):
    cfg = compose("train", "engine=own", "engine._target_=own_parts.py:Mute", "+engine.params={volume: 2}").engine
    assert isinstance(cfg, OwnEngineConfig)
    assert engine_options(cfg) == {"volume": 2}
    assert build_engine(cfg, model="m").volume == 2
    model = ModelConfig(name="m", path="package:tiny_slm")
    with pytest.raises(UserError, match=r"own_parts.py:Mute: an engine that trains needs generate, close"):
        build_training_engine(cfg, model, None, None)
    openai = compose("train", "engine=openai").engine
    with pytest.raises(UserError, match="engine=openai: cannot sample from the model in training"):
        build_training_engine(openai, model, None, None)


def test_the_engines_that_train_have_the_contract():
    model, tokenizer = load_model("package:tiny_slm")
    engine = HFEngine.from_model(model, tokenizer)
    assert isinstance(engine, TrainingEngine)
    assert engine.max_logprob_gap is None
    assert all(isinstance(kind, TrainingEngineFactory) for kind in (HFEngine, VLLMServer))
    assert all(hasattr(ServedRollouts, name) for name in ("sync", "generate", "close"))
    assert AutoEngineConfig()._target_ == "corea.engines.build.resolve_engine"
    assert json.dumps(engine_options(AutoEngineConfig())) == "{}"
