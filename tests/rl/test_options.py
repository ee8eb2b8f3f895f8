"""Options of the loop: resampled groups, adapters, checkpointed activations, batches that are not finite."""

import logging
import signal

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from corea.config import LoraConfig, LossConfig
from corea.engines.loading import load_model
from corea.errors import UserError
from corea.logger import NoLogger
from corea.rl.trainer import Trainer
from corea.rl.update.batching import micro_batches
from corea.rl.update.lora import merged_state_dict
from corea.rl.update.policy import Policy
from rl_models import plain_update, random_llama, random_rows, trainer_config
from rl_runs import SendingLogger, assert_same_run, config, metrics


def test_groups_without_advantage_are_replaced(tmp_path):
    """In groups of two many answers agree; the questions drawn at first stay the same."""
    few = ["trainer.steps=2", "trainer.questions=8", "trainer.group_size=2", "trainer.sample_every=1", "reward=rlvr"]
    terms = "{min_terms:8,max_terms:9,min_digits:1,max_digits:1}"  # right about every other time
    few += [f"data.families.in_domain.sources=[{{name:middling,task:chain_sum,params:{terms}}}]"]
    folders = [tmp_path / str(n) for n in (0, 2)]
    for folder, times in zip(folders, (0, 2), strict=True):
        Trainer(config(*few, f"trainer.resample={times}"), folder, NoLogger()).run()
    plain, more = (pd.read_parquet(f / "samples.parquet").query("step == 1") for f in folders)
    useful = [frame.groupby("question_id")["advantage"].apply(lambda a: (a != 0).any()) for frame in (plain, more)]
    assert useful[1].sum() > useful[0].sum()
    assert len(more) == len(plain) == 16
    kept = plain[plain["question_id"].isin(useful[0][useful[0]].index)]
    assert set(kept["question_id"]) <= set(more["question_id"])
    lines = [metrics(f)[0] for f in folders]
    assert lines[1]["resampled_groups"] > 0
    assert "resampled_groups" not in lines[0]
    assert lines[1]["pass@1"] == lines[0]["pass@1"]  # figures are of the first draw
    assert lines[1]["questions/read"] > lines[0]["questions/read"]


def test_a_step_without_any_completion_in_the_loss_changes_nothing_and_is_counted(tmp_path, caplog):
    """Every completion is cut off after one token, and truncated ones are left out of the loss."""
    cut = ["model.max_tokens=1", "trainer.loss.mask_truncated=true", "trainer.minibatches=2", "trainer.steps=2"]
    with caplog.at_level(logging.WARNING):
        Trainer(config(*cut), tmp_path, NoLogger()).run()
    lines = metrics(tmp_path)
    assert [(line["empty_updates"], line["skipped_updates"], line["loss"]) for line in lines] == [(2.0, 0.0, None)] * 2
    assert "step 1: 2 updates were skipped: no completion is in the loss" in caplog.text
    base, _ = load_model("package:tiny_slm")
    left = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(left[name], base.state_dict()[name]) for name in left)


def test_more_minibatches_than_questions_are_refused():
    with pytest.raises(UserError, match=r"trainer.minibatches=5: allowed is at most trainer.questions=4"):
        config("trainer.minibatches=5")


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lora")
    Trainer(lora_config(), folder, NoLogger()).run()
    return folder


def lora_config():
    return config("trainer.steps=2", "trainer.lora.rank=4", "trainer.lora.alpha=8", "trainer.loss.kl=0.05")


def test_adapters_train_and_model_holds_them_merged(adapted):
    base, _ = load_model("package:tiny_slm")
    merged, before = load_file(adapted / "model" / "model.safetensors"), base.state_dict()
    assert merged.keys() <= before.keys()
    moved = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert moved
    assert all(name.endswith("_proj.weight") for name in moved)  # embeddings and norms are as they were
    adapter = load_file(adapted / "model" / "adapter" / "adapter_model.safetensors")
    name = "model.layers.0.self_attn.q_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{k}.weight"] for k in "AB")
    assert a.shape[0] == b.shape[1] == 4
    torch.testing.assert_close(merged[f"{name}.weight"], before[f"{name}.weight"] + 8 / 4 * b @ a)
    assert load_model(str(adapted / "model"))[0] is not None
    assert metrics(adapted)[0]["kl"] == pytest.approx(0.0, abs=1e-6)  # the reference is the base under the adapter
    assert metrics(adapted)[1]["kl"] > 0


def test_an_adapted_run_resumes_exactly(adapted, tmp_path):
    Trainer(lora_config(), tmp_path, SendingLogger(1, signal.SIGTERM)).run()
    assert len(metrics(tmp_path)) == 1
    Trainer(lora_config(), tmp_path, NoLogger()).run()
    assert_same_run(adapted, tmp_path)


def test_merging_leaves_the_model_as_it_is():
    policy = Policy(random_llama(), trainer_config(lora=LoraConfig(rank=2)), pad=0)
    policy.update(micro_batches(random_rows(), 64, pad=0), lr=1e-2)
    ids = torch.tensor([[3, 4, 5, 6]])
    expected = policy.model(input_ids=ids).logits
    plain = random_llama(seed=1)
    plain.load_state_dict(merged_state_dict(policy.model))
    torch.testing.assert_close(plain(input_ids=ids).logits, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(policy.model(input_ids=ids).logits, expected)


def test_unknown_layers_are_named():
    with pytest.raises(UserError, match=r"trainer\.lora\.targets"):
        Policy(random_llama(), trainer_config(lora=LoraConfig(rank=2, targets=["nope"])), pad=0)


def test_checkpointed_activations_change_nothing():
    rows = random_rows()
    expected = plain_update(random_llama(), rows, trainer_config(loss=LossConfig()), steps=1)
    policy = Policy(random_llama(), trainer_config(gradient_checkpointing=True), pad=0)
    policy.engine.train()
    for batch in micro_batches(rows, 64, pad=0):
        policy._accumulate(batch)
    assert policy.model.is_gradient_checkpointing
    for parameter, other in zip(policy.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_what_is_not_finite_is_skipped_at_every_stage(stage):
    policy = Policy(random_llama(), trainer_config(zero_stage=stage), pad=0)
    rows = random_rows()
    rows[3].advantages = [float("inf")] * len(rows[3].token_ids)
    with policy.gathered():
        before = [p.clone() for p in policy.model.parameters()]
    assert policy.update(micro_batches(rows, 64, pad=0), lr=1e-2)["skipped"] == 1
    with policy.gathered():
        assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert policy.update(micro_batches(random_rows(), 64, pad=0), lr=1e-2)["skipped"] == 0


def test_after_the_limit_the_run_stops_with_the_batches_kept(tmp_path, caplog, monkeypatch):
    """The weights overflow, as after a rate that was far too large: every loss is NaN."""
    cfg = config("trainer.max_skipped=2", "trainer.save_every=1")
    trainer = Trainer(cfg, tmp_path, NoLogger())
    update = trainer.policy.update

    def overflowing(batches, lr):
        for batch in batches:
            batch.advantages = batch.advantages * float("inf")
        return update(batches, lr)

    monkeypatch.setattr(trainer.policy, "update", overflowing)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(UserError, match="not finite in 2 steps in a row"),
    ):
        trainer.run()
    assert [line["skipped_updates"] for line in metrics(tmp_path)] == [1, 1]
    kept = pd.read_parquet(tmp_path / "not_finite.parquet")
    assert kept.groupby("step").size().to_dict() == {1: 16, 2: 16}
    assert all(len(t) == len(p) > 0 for t, p in zip(kept["token_ids"], kept["rollout_logprobs"], strict=True))
    assert "weights are unchanged" in caplog.text
    base, _ = load_model("package:tiny_slm")
    left = load_file(tmp_path / "checkpoints" / "step-000002" / "model" / "model.safetensors")
    assert all(torch.equal(left[name], base.state_dict()[name]) for name in left)
