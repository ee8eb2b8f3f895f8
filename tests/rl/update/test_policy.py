"""The update on DeepSpeed: gradients are those of plain torch, however the batch is split and whatever the stage."""

import copy

import pytest
import torch
from deepspeed.utils import safe_get_full_grad

from corea.config import LossConfig
from corea.rl.update.batching import micro_batches
from corea.rl.update.policy import Policy
from rl_models import plain_logprobs, plain_update, random_llama, random_rows, trainer_config


def split(rows, parts):
    """About `parts` micro-batches."""
    tokens = sum(len(r.prompt_ids) + len(r.token_ids) for r in rows)
    batches = micro_batches(rows, 10**6 if parts == 1 else tokens // parts, pad=0, share_prompt=False)
    assert len(batches) == 1 if parts == 1 else len(batches) >= parts
    return batches


@pytest.mark.parametrize("chunk", [3, 10**6])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_gradients_do_not_depend_on_the_split(stage, chunk):
    rows, cfg = random_rows(), trainer_config(zero_stage=stage, loss=LossConfig(importance_cap=2.0))
    expected = plain_update(random_llama(), rows, cfg, steps=1)
    for parts in (1, 8):
        policy = Policy(random_llama(), cfg, pad=0)
        policy.engine.module.chunk = chunk
        batches = split(rows, parts)
        for number, batch in enumerate(batches, 1):
            policy.engine.set_gradient_accumulation_boundary(number == len(batches))
            policy._accumulate(batch)
        found = [safe_get_full_grad(p) for p in policy.model.parameters()]
        scale = max(g.abs().max() for g in expected)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * scale.item())


@pytest.mark.parametrize("stage", [0, 1])
def test_two_updates_are_those_of_plain_adamw(stage):
    """Also: clipping, and the norm that is reported is that before clipping."""
    rows, cfg = random_rows(), trainer_config(zero_stage=stage)
    reference = random_llama()
    gradients = plain_update(reference, rows, cfg, steps=2)
    policy = Policy(random_llama(), cfg, pad=0)
    results = [policy.update(micro_batches(rows, 64, pad=0), lr=1e-2) for _ in range(2)]
    norm = torch.cat([g.flatten() for g in gradients]).norm().item()
    assert norm > 0.02
    assert results[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert results[0]["tokens"] == sum(len(r.token_ids) for r in rows)
    for one, other in zip(policy.model.parameters(), reference.parameters(), strict=True):
        # Adam turns rounding in tiny gradients into steps of up to lr, hence the mean besides the maximum
        assert (one - other).abs().mean() < 1e-5
        assert (one - other).abs().max() < 1e-2


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_the_gradient_on_samples_of_other_weights_is_that_of_truncated_importance_sampling(mode):
    """Against sum(-min(p / q, cap) * advantage * log p), row by row in plain torch; q sampled, p is trained."""
    rows = random_rows(groups=3, size=4)
    cfg = trainer_config(off_policy_steps=1, loss=LossConfig(importance_cap=1.0, importance_mode=mode))
    sampler, expected = random_llama(seed=1), random_llama()
    with torch.no_grad():
        for parameter, own in zip(sampler.parameters(), expected.parameters(), strict=True):
            parameter.mul_(0.1).add_(0.9 * own)  # weights of a moment ago
        for row in rows:
            row.rollout_logprobs = plain_logprobs(sampler, row, cfg.temperature).tolist()
    total, capped = 0.0, 0
    for row in rows:
        logprobs = plain_logprobs(expected, row, cfg.temperature)
        difference = logprobs.detach() - torch.tensor(row.rollout_logprobs)
        ratio = (difference.sum() if mode.startswith("sequence") else difference).exp().expand(len(difference))
        capped += int((ratio > 1).sum())
        weight = torch.where(ratio > 1, 1.0 if mode.endswith("truncate") else 0.0, ratio)
        loss = -(row.weight * weight * torch.tensor(row.advantages) * logprobs).sum()
        loss.backward()
        total += -(row.weight * weight * torch.tensor(row.advantages)).sum().item()  # the ratio to itself is 1
    policy = Policy(random_llama(), cfg, pad=0)
    batches = micro_batches(rows, 64, pad=0)
    assert len(batches) > 1
    sums = [policy._accumulate(batch) for batch in batches]
    assert sum(s["loss"] for s in sums) == pytest.approx(total, abs=1e-6)
    assert 0 < sum(s["capped"] for s in sums) == capped < sum(len(r.token_ids) for r in rows)
    found = [safe_get_full_grad(p) for p in policy.model.parameters()]
    for one, other in zip(found, expected.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=0, atol=1e-5)


def test_old_and_reference_logprobs():
    rows, cfg = random_rows(), trainer_config(loss=LossConfig(kl=0.1))
    policy = Policy(random_llama(), cfg, pad=0)
    before = micro_batches(rows, 64, pad=0)
    filled = policy.fill_logprobs(before, old=True)
    assert all(torch.equal(b.old_logprobs, b.ref_logprobs) for b in filled)
    result = policy.update(filled, lr=1e-2)
    assert result["kl"] == pytest.approx(0.0, abs=1e-6)
    again = policy.update(policy.fill_logprobs(before, old=False), lr=1e-2)  # the reference has not moved
    assert again["kl"] > 1e-3


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_save_and_load_are_exact(stage, tmp_path):
    rows, cfg = random_rows(), trainer_config(zero_stage=stage)
    policy = Policy(random_llama(), cfg, pad=0)
    batches = micro_batches(rows, 64, pad=0)
    policy.update(batches, lr=1e-2)
    policy.save(tmp_path)
    policy.update(batches, lr=1e-2)
    other = Policy(random_llama(seed=1), cfg, pad=0)
    other.load(tmp_path)
    other.update(batches, lr=1e-2)
    for one, two in zip(policy.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_loss_that_is_not_finite_changes_nothing():
    rows = random_rows()
    rows[3].advantages = [float("nan")] * len(rows[3].token_ids)
    policy = Policy(random_llama(), trainer_config(), pad=0)
    before = copy.deepcopy(list(policy.model.parameters()))
    result = policy.update(micro_batches(rows, 64, pad=0), lr=1e-2)
    assert result["skipped"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    rows[3].advantages = [0.0] * len(rows[3].token_ids)
    assert policy.update(micro_batches(rows, 64, pad=0), lr=1e-2)["skipped"] == 0
