"""An operating point holds for the tiers that it was chosen with: what else is refused, before anything is asked."""

import json
import shutil
from importlib import resources
from pathlib import Path

import live_helpers as live
import pytest
import torch
from safetensors.torch import load_file, save_file

from corea.composition import compose
from corea.config import HFEngineConfig
from corea.errors import UserError
from corea.serving.answering_run import prepare

POINT = {"sums": {"signal": "verbalized", "thresholds": [0.5]}}


def refused(questions, point, *overrides) -> str:
    with pytest.raises(UserError) as error:
        prepare(compose("answer", f"questions={questions}", f"operating_point={point}", *overrides))
    assert "\n" not in str(error.value)
    return str(error.value)


def accepted(questions, point, *overrides):
    return prepare(compose("answer", f"questions={questions}", f"operating_point={point}", *overrides))


@pytest.fixture
def own_model(tmp_path) -> Path:
    """A run folder: model/, and an operating point beside it that names the model by its folder."""
    shutil.copytree(Path(str(resources.files("corea"))) / "models" / "tiny_slm", tmp_path / "run" / "model")
    first, second = live.tiny_pair()
    first.path = str(tmp_path / "run" / "model")
    point = live.write_point(tmp_path / "run", [first, second], POINT)
    document = json.loads(point.read_text())
    document["models"]["0"]["path"] = "model"
    point.write_text(json.dumps(document))
    return tmp_path / "run"


def test_a_run_folder_can_be_moved(own_model, tmp_path, questions):
    moved = Path(shutil.move(own_model, tmp_path / "elsewhere"))
    task = accepted(questions, moved / "operating_point.json")
    assert task.tiers[0].path == str(moved / "model")
    assert task.tiers[1].path == "package:tiny_llm"


def test_other_weights_are_refused(own_model, questions):
    file = own_model / "model" / "model.safetensors"
    save_file({k: v + 0.01 * torch.ones_like(v) for k, v in load_file(file).items()}, file)
    point = own_model / "operating_point.json"
    line = refused(questions, point)
    assert "tier 0 (model0) is not what its thresholds were chosen for: weights: sha256:" in line
    assert "answer.unbound=true uses them nevertheless" in line
    table = live.answer(own_model / "out", questions, point, "answer.unbound=true")
    assert table.unbound.all()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "tiers.0.temperature=1",
            "tier 0 (model0) is not what its thresholds were chosen for: temperature: 0.0, now 1.0",
        ),
        ("tiers.1.max_tokens=50", "token limit: 160, now 50"),
        ("tiers.1.prompt=answer", "prompt: 836f5324b5b2ffba, now "),
        ("tiers.0.model=package:tiny_llm", "weights: sha256:"),
    ],
)
def test_another_prompt_sampling_or_model_is_refused(questions, pair_point, override, words):
    assert words in refused(questions, pair_point, override)
    accepted(questions, pair_point, override, "answer.unbound=true")


def test_what_no_threshold_depends_on_may_change(questions, pair_point):
    task = accepted(questions, pair_point, "tiers.1.price={input: 1, output: 1}", "+engine@tiers.1.engine=hf")
    assert task.repriced
    assert task.tiers[1].engine == HFEngineConfig()
    assert not accepted(questions, pair_point).repriced


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("probe", "the signal probe of tier 0 (model0) cannot be had live: it was fitted on a collected table"),
        ("vote", "the signal vote of tier 0 (model0) needs several samples"),
    ],
)
def test_a_signal_that_cannot_be_had_live_is_refused(tmp_path, questions, signal, words):
    point = live.write_point(tmp_path, live.tiny_pair(), {"sums": {"signal": signal, "thresholds": [0.5]}})
    assert words in refused(questions, point)


def test_log_probabilities_cannot_be_had_from_every_engine(tmp_path, questions):
    values = {"sums": {"signal": "expected", "thresholds": [0.5]}}
    point = live.write_point(tmp_path, live.tiny_pair(), values)
    assert accepted(questions, point).tiers[0].signals == ("expected",)
    line = refused(questions, point, "+engine@tiers.0.engine=vllm")
    assert "cannot be had live from engine=vllm; allowed is hf, openai, vllm_server, recorded, own" in line


def test_an_operating_point_without_a_threshold_is_refused(tmp_path, questions):
    rule = {"name": "guarantee", "note": "40 calibration questions are too few"}
    values = {"sums": {"signal": "verbalized", "thresholds": None, "rule": rule}}
    point = live.write_point(tmp_path, live.tiny_pair(), values)
    assert "dataset sums has no threshold: 40 calibration questions are too few" in refused(questions, point)


def test_tiers_that_were_not_collected_must_be_given(tmp_path, questions):
    point = live.write_point(tmp_path, live.tiny_pair(), POINT, models={"0": {"model": ["a"]}, "1": {}}, prompts={})
    line = refused(questions, point)
    assert "tier 0 does not say how it was asked: give tiers.0.model, tiers.0.engine, tiers.0.prompt" in line
    given = [
        part
        for n, model in enumerate(("package:tiny_slm", "package:tiny_llm"))
        for part in (
            f"+engine@tiers.{n}.engine=hf",
            f"tiers.{n}.model={model}",
            f"tiers.{n}.prompt=plain",
            f"tiers.{n}.temperature=0",
            f"tiers.{n}.max_tokens=24",
        )
    ]
    assert "temperature: not recorded" in refused(questions, point, *given)
    assert accepted(questions, point, *given, "answer.unbound=true").tiers[1].path == "package:tiny_llm"


def test_questions_of_an_unknown_dataset_are_refused_or_go_to_the_last_tier(tmp_path, questions, pair_point):
    rows = [json.loads(line) for line in questions.read_text().splitlines()][:4]
    rows = [row | {"dataset": "sums" if i < 2 else "words"} for i, row in enumerate(rows)]
    file = tmp_path / "mixed.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = refused(file, pair_point)
    assert "dataset words: the operating point knows sums; dataset=NAME takes the thresholds of one" in line
    table = live.answer(tmp_path / "run", file, pair_point, "answer.uncalibrated=llm")
    assert table.reason[2:].tolist() == ["uncalibrated"] * 2
    assert table.tier[2:].tolist() == [1, 1]
    assert table.tier0_status[2:].isna().all()
    one = live.answer(tmp_path / "one", file, pair_point, "dataset=sums")
    assert "uncalibrated" not in set(one.reason)


@pytest.mark.parametrize(
    ("content", "overrides", "words"),
    [
        ('{"text": "1+1"}\n', (), "question_column=question: "),
        ('{"question": " "}\n', (), "row 1: column question is empty"),
        (
            '{"question": "a", "question_id": 1}\n{"question": "b", "question_id": 1}\n',
            (),
            "row 2: question_id 1 belongs",
        ),
        ('{"question": "a"}\n', ("gold_column=target",), "gold_column=target: "),
        ('{"question": "a"}\n', ("dataset=other",), "dataset other: the operating point knows sums"),
        ('{"question": "a"}\n', ("tiers.3.model=x",), "tiers.3: allowed is a tier of the chain: 0, 1"),
    ],
)
def test_mistakes_in_questions_and_tiers_are_one_line(tmp_path, pair_point, content, overrides, words):
    file = tmp_path / "rows.jsonl"
    file.write_text(content)
    assert words in refused(file, pair_point, *overrides)
