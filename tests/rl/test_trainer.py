"""Whole runs on the model that ships with corea: what is written, and that a stopped run loses and repeats nothing."""

import json
import logging
import math
import signal

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from corea.engines.local.hf import HFEngine
from corea.errors import Interrupted, UserError
from corea.logger import NoLogger
from corea.rl.trainer import Trainer
from corea.tasks.splits import partition
from corea.types import Sampling
from rl_runs import STEPS, SendingLogger, assert_same_run, config, metrics, weights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    Trainer(config(), folder, NoLogger()).run()
    return folder


def test_a_run_folder(whole):
    lines = metrics(whole)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["lr"] for line in lines] == pytest.approx([1e-4 * (1 - k / STEPS) for k in range(STEPS)])
    for line in lines:
        assert line["logprob_gap/max"] < 1e-4  # sampler and trainer agree
        assert line["clip_share"] == 0.0  # one update a batch
        assert line["skipped_updates"] == 0.0
        assert line["reward"] == pytest.approx(
            line["reward/correct"] + 0.1 * line["reward/format"] + line["reward/calib"], abs=1e-9
        )
        assert line["questions/read"] - line["questions/dropped"] == 4 * line["step"]
        assert math.isfinite(line["entropy"])
        assert line["entropy"] > 0
    assert sorted(p.name for p in (whole / "checkpoints").iterdir()) == ["step-000004", "step-000006"]


def test_the_model_that_is_left_is_the_trained_one(whole):
    final = load_file(whole / "checkpoints" / "step-000006" / "model" / "model.safetensors")
    assert all(torch.equal(final[name], value) for name, value in weights(whole).items())
    before = load_file(whole / "checkpoints" / "step-000004" / "model" / "model.safetensors")
    assert any(not torch.equal(before[name], value) for name, value in final.items())
    engine = HFEngine(str(whole / "model"))
    question = [{"role": "user", "content": "State the final answer to the following arithmetic problem: 3 + 4 = "}]
    assert "<confidence>" in engine.generate([question], Sampling(temperature=0, max_tokens=24))[0][0].text


def test_samples(whole):
    frame = pd.read_parquet(whole / "samples.parquet")
    assert frame.groupby("step").size().to_dict() == {2: 16, 4: 16, 6: 16}  # 4 questions x 4
    assert all(partition(text) == "train" for text in frame["question"])
    group = frame[frame["step"] == 6].groupby("question_id")
    assert (group["correct"].mean() - group["pass_rate"].first()).abs().max() == 0
    assert group["advantage"].sum().abs().max() < 1e-9
    right = frame["answer"] == frame["gold"]
    assert (right == frame["correct"]).mean() > 0.9  # some answers are right in other words
    formed = frame["reward_format"] == 1
    gap = (frame["confidence"] - frame["pass_rate"]).abs()
    assert (gap + frame["reward_calib"])[formed].abs().max() < 1e-9


@pytest.mark.parametrize("step", [1, 4])
def test_sigterm_leaves_a_checkpoint_and_the_resumed_run_is_bit_identical(whole, tmp_path, step, caplog):
    with caplog.at_level(logging.INFO):
        Trainer(config(), tmp_path, SendingLogger(step, signal.SIGTERM)).run()
    assert f"stopped by SIGTERM after step {step}" in caplog.text
    assert not (tmp_path / "model").exists()
    assert [line["step"] for line in metrics(tmp_path)] == list(range(1, step + 1))
    Trainer(config(), tmp_path, NoLogger()).run()
    assert_same_run(whole, tmp_path)


def test_ctrl_c_says_how_to_go_on_and_a_profiled_run_is_bit_identical(whole, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="after step 3; a checkpoint was saved: resume with the same command"):
        Trainer(config(), tmp_path, SendingLogger(3, signal.SIGINT)).run()
    assert (tmp_path / "checkpoints" / "step-000003").is_dir()
    assert signal.getsignal(signal.SIGINT) is before
    Trainer(config("trainer.profile=[5,6]"), tmp_path, NoLogger()).run()
    assert_same_run(whole, tmp_path)
    events = json.loads((tmp_path / "profile-steps-5-6.json").read_text())["traceEvents"]
    assert sum("AdamW.step" in event.get("name", "") for event in events) == 4  # two groups of parameters, two steps
    assert [path.name for path in tmp_path.glob("profile*")] == ["profile-steps-5-6.json"]


def test_speed_and_memory_are_logged_and_the_share_of_a_peak_only_where_it_is_known(whole, tmp_path):
    line = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert "speed/mfu" not in line
    assert line["speed/tokens_per_s_gpu"] == line["tokens_per_s"]  # one process
    assert 0 <= line["speed/padding_share"] < 0.5
    assert 0.05 < line["memory/rollout_gib"] <= line["memory/update_gib"] < 64


def test_lines_after_the_checkpoint_are_written_anew(whole, tmp_path):
    """As after a SIGKILL: steps were logged that no checkpoint holds, and the newest checkpoint is torn."""
    Trainer(config(), tmp_path, SendingLogger(5, signal.SIGTERM)).run()
    state = next((tmp_path / "checkpoints" / "step-000005" / "state").glob("*model_states.pt"))
    state.write_bytes(state.read_bytes()[:1000])
    (tmp_path / "checkpoints" / ".step-000006.99.tmp").mkdir()
    Trainer(config(), tmp_path, NoLogger()).run()
    assert_same_run(whole, tmp_path)


def test_a_finished_run_is_left_as_it_is(whole):
    before = metrics(whole)
    Trainer(config(), whole, NoLogger()).run()
    assert metrics(whole) == before


def test_a_run_goes_on_at_another_zero_stage(whole, tmp_path):
    Trainer(config("trainer.zero_stage=1"), tmp_path, SendingLogger(3, signal.SIGTERM)).run()
    Trainer(config("trainer.zero_stage=0", "trainer.steps=4"), tmp_path, NoLogger()).run()
    expected, found = metrics(whole)[3], metrics(tmp_path)[3]
    assert found["reward"] == expected["reward"]
    assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)


def test_several_updates_a_batch(tmp_path):
    cfg = config("trainer.steps=2", "trainer.minibatches=2", "trainer.epochs=2", "trainer.optimizer.lr=1e-3")
    Trainer(cfg, tmp_path, NoLogger()).run()
    lines = metrics(tmp_path)
    assert any(line["clip_share"] > 0 for line in lines)  # the second epoch starts from a moved policy
    assert all(line["logprob_gap/max"] < 1e-4 for line in lines)  # old against sampler, not new against sampler


def test_sharing_the_prompt_changes_nothing_but_speed(whole, tmp_path):
    Trainer(config("trainer.share_prompt=false", "trainer.token_budget=64"), tmp_path, NoLogger()).run()
    one, other = metrics(whole)[0], metrics(tmp_path)[0]
    assert one == {k: pytest.approx(v, rel=1e-4, abs=1e-5) for k, v in other.items()}


def test_an_engine_that_cannot_sample_is_refused(tmp_path):
    with pytest.raises(UserError, match="engine=hf"):
        Trainer(config("engine=replay"), tmp_path, NoLogger())


def test_more_processes_than_questions_are_refused_before_a_model_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(UserError, match=r"^trainer\.questions=4: allowed is a number >= 5: each of the 5 processes"):
        Trainer(config("model.path=no/such"), tmp_path, NoLogger())
