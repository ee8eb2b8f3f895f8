"""corea's reward in TRL's GRPOTrainer, and a reward function of TRL in corea.train: both train for real."""

from __future__ import annotations

import json

import pytest

from rl_models import trl_config

pytestmark = pytest.mark.slow
trl = pytest.importorskip("trl")

QUESTIONS = [(f"{a} + {a + 3}", str(2 * a + 3)) for a in range(4)]
GROUP = 4


def trained(tmp_path, reward_funcs, **options):
    """The log of two steps of GRPOTrainer with the packaged model."""
    from datasets import Dataset

    from corea.engines.loading import load_model
    from corea.rewards import confidence_prompt

    model, tokenizer = load_model("package:tiny_slm")
    asked = [f"State the final answer to the following arithmetic problem: {q} =" for q, _ in QUESTIONS]
    columns = {"prompt": [confidence_prompt(q, "plain") for q in asked], "solution": [gold for _, gold in QUESTIONS]}
    args = trl_config(trl, tmp_path, num_generations=GROUP, max_completion_length=24, logging_steps=1, **options)
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=reward_funcs,
        args=args,
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
    )
    trainer.train()
    return [line for line in trainer.state.log_history if "reward" in line]


def test_the_total_trains_and_is_logged_with_its_components(tmp_path):
    from corea.rewards import total_reward

    log = trained(tmp_path, total_reward(grader="numeric", group_size=GROUP))
    assert len(log) == 2
    for line in log:
        parts = [line[f"corea/{name}"] for name in ("correctness", "well_formed", "calibration")]
        assert line["rewards/corea_reward/mean"] == pytest.approx(parts[0] + 0.1 * parts[1] + parts[2], abs=1e-5)
        assert parts[1] > 0.5  # the packaged model keeps the format
        assert line["grad_norm"] > 0


def test_the_components_are_weighted_by_trl(tmp_path):
    from corea.rewards import component_rewards

    log = trained(tmp_path, component_rewards(grader="numeric", distance="l2"), reward_weights=[1.0, 0.1, 1.0])
    for line in log:
        correct, form, calib = (line[f"rewards/{n}/mean"] for n in ("correctness", "well_formed", "calibration"))
        assert line["reward"] == pytest.approx(correct + 0.1 * form + calib, abs=1e-5)
        assert -1 < calib < 0


def test_a_reward_function_of_trl_is_a_component_of_corea(tmp_path):
    from corea.composition import compose
    from corea.logger import NoLogger
    from corea.rl.trainer import Trainer

    extra = "+reward.extra={thinks: {_target_: trl.rewards.think_format_reward, weight: 0.2}}"
    small = ("trainer=debug", "trainer.steps=1", "trainer.questions=2", "trainer.group_size=2", "logger=none")
    Trainer(compose("train", *small, extra), tmp_path, NoLogger()).run()
    (line,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert 0 <= line["reward/thinks"] <= 1
    total = line["reward/correct"] + 0.1 * line["reward/format"] + line["reward/calib"] + 0.2 * line["reward/thinks"]
    assert line["reward"] == pytest.approx(total)
