"""The plan of a training: seconds by hand, the search, what is printed and written, and mistakes."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml

from corea.composition import compose, conf_dir
from corea.config.plan_schema import GPU_NAMES, PlanOptionsConfig
from corea.errors import UserError
from corea.gpus import GPUS
from corea.model_shape import ModelShape
from corea.plan import main
from corea.plan.candidates import PRESETS, candidates
from corea.plan.settings import model_shape
from corea.plan.step_seconds import Rates, Seconds, Work, communicated, rollout_seconds, update_seconds
from corea.plan.training_plan import estimate, plan_training
from plan_setting import SETTING

SHAPE = ModelShape(layers=1, hidden=2, heads=1, kv_heads=1, head_size=2, feed_forward=3, vocabulary=5, tied=True)
ONE = replace(SETTING, shape=SHAPE, gpus=1, questions=2, group=2, engine="vllm", rows=4, completion=4, budget=1000)
WORK = Work(
    prompt=2,
    completion=4,
    passes=1,
    scorings=0,
    share_prompt=True,
    captured=True,
    replicas=1,
    replica_gpus=1,
    gradings_per_s=1000,
)
KEPT = ["trainer.gradient_checkpointing=false"]
"""Activations of 16,384 tokens are kept, so that the configuration does not fit."""
RATES = Rates(flops=1000.0, memory=100.0, network=10.0, launch=0.5)


@pytest.fixture(scope="module")
def composed():
    return compose("plan", "experiment=paper_rlcc", "gpus=8", "gpu=h100", *KEPT, "plan.gpu_hour=2")


def test_seconds_of_an_update_by_hand():
    # 2 prompts of 2 and 4 completions of 4: 20 tokens, 2 x (2 + 2 x (8 + 8)) = 68 pairs, 16 tokens scored
    forward = 2 * 34 * 20 + 4 * 2 * 68 + 2 * 10 * 16
    assert forward == 2224
    # AdamW moves 28 bytes for each of 50 parameters at 100 bytes a second
    assert update_seconds(ONE, WORK, RATES) == pytest.approx(3 * 2.224 + 14)
    assert update_seconds(replace(ONE, recompute=True), WORK, RATES) == pytest.approx(4 * 2.224 + 14)


def test_a_step_is_the_sum_of_its_parts_or_the_longer_side():
    assert Seconds(rollout=3.0, reward=0.5, update=2.0).step == 5.5
    assert Seconds(rollout=3.0, reward=0.5, update=2.0, ahead=True).step == 3.5
    assert Seconds(rollout=1.0, reward=0.5, update=2.0, ahead=True).step == 2.0


def test_seconds_of_a_rollout_by_hand():
    # prompts: 4 tokens, 4 pairs, 2 scored: 272 + 32 + 40 = 344 operations; then 4 steps for 4 rows of 2 + 2 tokens,
    # each reads 50 weights of 2 bytes and 4 x 4 x 8 bytes of keys and values: 2.28 s
    # computes 2 x 34 x 4 + 4 x 2 x 16 + 2 x 10 x 4 = 480 operations: 0.48 s
    assert rollout_seconds(ONE, WORK, RATES) == pytest.approx(0.344 + 4 * 2.28)
    slow = replace(RATES, launch=3.0)
    assert rollout_seconds(ONE, replace(WORK, captured=False), slow) == pytest.approx(0.344 + 4 * 3)


def test_bytes_that_a_gpu_sends_by_hand():
    two = replace(ONE, gpus=2)
    data = 2 * 50 / 2  # half of 50 numbers of 2 bytes
    assert communicated(ONE, WORK, 3) == 0
    assert communicated(replace(two, stage=1), WORK, 3) == 2 * data
    assert communicated(replace(two, stage=2), WORK, 3) == 4 * data
    assert communicated(replace(two, stage=3), WORK, 3) == 9 * data


def test_the_cheapest_setting_fits_and_none_that_fits_is_cheaper(composed):
    plan = plan_training(composed)
    assert plan.estimate.fits is False
    recomputing = deepcopy(composed)
    recomputing.trainer.gradient_checkpointing = True  # as the experiment has it
    assert estimate(recomputing, plan.shape).fits is True
    candidate, best = plan.cheapest["all weights"]
    assert best.fits
    everything = [(c, estimate(c.cfg, plan.shape)) for c in candidates(composed)]
    others = [e for c, e in everything if not c.adapters and e.fits]
    assert best.gpu_hours <= 1.01 * min(e.gpu_hours for e in others)
    assert candidate.cfg.trainer.questions == composed.trainer.questions
    assert best.dollars == pytest.approx(2 * best.gpu_hours)
    assert not any(c.adapters and c.cfg.trainer.zero_stage == 3 for c, _ in everything)


def test_the_overrides_of_the_cheapest_setting_are_those_of_a_training(composed):
    *_, last = (c for c in candidates(composed) if c.adapters)
    trainer = compose("train", "experiment=paper_rlcc", *last.overrides.split()).trainer
    assert (trainer.zero_stage, trainer.offload, trainer.lora.rank) == (2, True, 32)


def test_the_search_keeps_the_ranks_of_a_copy_of_the_model_together(composed):
    cfg = deepcopy(composed)
    cfg.engine.tensor_parallel = 4
    assert {candidate.cfg.gpus for candidate in candidates(cfg)} == {4, 8, 16, 32, 64}


def test_the_search_proposes_no_gpu_without_a_question(composed):
    cfg = deepcopy(composed)
    cfg.trainer.questions, cfg.gpus = 6, 3
    assert {candidate.cfg.gpus for candidate in candidates(cfg)} == {1, 2, 3, 4}


def test_the_gpu_with_the_most_questions_sets_the_time():
    two = replace(ONE, gpus=2, questions=3)  # two questions on one GPU, one on the other
    four = replace(ONE, questions=4)
    slow = replace(RATES, network=1e9, memory=1e9)
    assert update_seconds(two, WORK, slow) == pytest.approx(update_seconds(four, WORK, slow) / 2, rel=1e-3)
    assert update_seconds(replace(two, gpus=64), WORK, slow) == pytest.approx(
        update_seconds(replace(two, gpus=3), WORK, slow), rel=1e-3
    )


def test_the_presets_are_those_of_conf():
    for name, memory in PRESETS.items():
        file = yaml.safe_load((conf_dir() / "trainer" / f"{name}.yaml").read_text())
        plain = yaml.safe_load((conf_dir() / "trainer" / f"{name.removesuffix('_offload')}.yaml").read_text())
        assert {**plain, **file}.get("offload", False) is memory["offload"]
        assert plain["zero_stage"] == memory["zero_stage"]
        assert plain["gradient_checkpointing"] is True


def test_the_plan_is_printed_and_written(composed, tmp_path, capsys):
    cfg = deepcopy(composed)
    cfg.out = str(tmp_path / "new")
    main(cfg)
    shown = capsys.readouterr().out
    assert "does not fit: peak" in shown
    assert "activations, " in shown
    assert "try trainer.gradient_checkpointing=true" in shown
    assert "cheapest with adapters: " in shown
    written = json.loads((tmp_path / "new" / "plan.json").read_text())
    phases = written["plan"]["memory"].values()
    assert written["plan"]["peak"] == max(sum(parts.values()) for parts in phases)
    assert written["model"]["parameters"] == 7_615_616_512


def test_a_cpu_has_memory_and_no_times(composed):
    cfg = deepcopy(composed)
    cfg.gpu = "cpu"
    plan = plan_training(cfg)
    assert plan.estimate.seconds is None
    assert plan.estimate.fits is None
    assert plan.cheapest == {}


def test_a_packaged_model_has_the_shape_of_its_configuration(composed):
    model = replace(composed.model, path="package:tiny_slm")
    assert model_shape(model).parameters == pytest.approx(0.85e6, rel=0.01)  # conf/model/tiny.yaml


def test_mistakes_are_one_line(composed):
    with pytest.raises(UserError, match=r"gpu=h101: allowed is b200, h200, h100.*; did you mean h100\?"):
        compose("plan", "gpu=h101")
    allowed = "the folder of a decoder with its config.json, or the path of a model in conf/model"
    for path, hint in (("no/such", ""), ("Qwen/Qwen2.5-7B-Instuct", "; did you mean Qwen/Qwen2.5-7B-Instruct?")):
        with pytest.raises(UserError) as caught:
            model_shape(replace(composed.model, path=path))
        assert str(caught.value) == f"model.path={path}: its sizes are unknown; allowed is {allowed}{hint}"
    with pytest.raises(ValueError, match=r"plan\.reserve=1: allowed is a number in \[0, 0\.9\]"):
        PlanOptionsConfig(reserve=1)
    with pytest.raises(UserError, match=r"plan\.completion_tokens=900: allowed is a mean up to model\.max_tokens=24"):
        compose("plan", "plan.completion_tokens=900")
    with pytest.raises(UserError, match=r"gpus=1: allowed is a multiple of engine\.tensor_parallel=2"):
        compose("plan", "engine=vllm", "engine.tensor_parallel=2")
    with pytest.raises(UserError, match=r"^gpus=8: allowed is at most trainer\.questions=6: each GPU needs a question"):
        compose("plan", "gpus=8", "trainer.questions=6")


def test_every_gpu_of_the_table_can_be_named():
    assert set(GPU_NAMES) == {*GPUS, "cpu"}
