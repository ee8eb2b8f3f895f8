"""The policy loss against straightforward loops."""

import math

import pytest
import torch

from corea.config import LossConfig
from corea.rl.update.loss import aggregation_weights, importance_weights, kl_estimate, kl_term, policy_loss


def test_tokens_that_are_not_counted_have_no_kl_term():
    logprobs = torch.tensor([-1.0, -2.0, -0.5], dtype=torch.float64, requires_grad=True)
    given = {
        "old_logprobs": None,
        "rollout_logprobs": logprobs.detach(),
        "advantages": torch.zeros(3, dtype=torch.float64),
        "weights": torch.full((3,), 1 / 3, dtype=torch.float64),
        "cfg": LossConfig(kl=0.5, kl_importance=False),
        "ref_logprobs": torch.tensor([-1.5, -1.0, -2.5], dtype=torch.float64),
    }
    loss, sums = policy_loss(logprobs, **given, kl_counted=torch.tensor([1.0, 0.0, 0.0]))
    # log ratio 0.5: exp(-0.5) - 1 + 0.5, with slope 1 - exp(-0.5)
    assert sums["kl"].item() == pytest.approx(math.exp(-0.5) - 0.5)
    assert loss.item() == pytest.approx(0.5 * (math.exp(-0.5) - 0.5) / 3)
    loss.backward()
    assert logprobs.grad.tolist() == pytest.approx([0.5 * (1 - math.exp(-0.5)) / 3, 0.0, 0.0])
    everything, _ = policy_loss(logprobs.detach(), **given)
    assert everything > loss


def test_weights_by_hand():
    assert aggregation_weights([], "token_mean", 10) == []
    assert aggregation_weights([2, 6], "token_mean", 10) == [1 / 8, 1 / 8]
    assert aggregation_weights([2, 6], "sequence_mean", 10) == [1 / 4, 1 / 12]
    assert aggregation_weights([2, 6], "constant", 10) == [1 / 20, 1 / 20]


def test_kl_estimates_by_hand():
    new, ref = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)])
    assert kl_estimate(new, ref, "k1").item() == pytest.approx(math.log(2))
    assert kl_estimate(new, ref, "k2").item() == pytest.approx(math.log(2) ** 2 / 2)
    assert kl_estimate(new, ref, "k3").item() == pytest.approx(0.5 - 1 + math.log(2))


def loop_loss(new, old, rollout, ref, advantages, weights, cfg):
    """The same in scalars, written from the papers."""
    total = 0.0
    for n, o, s, f, a, w in zip(new, old, rollout, ref, advantages, weights, strict=True):
        ratio = math.exp(n - o)
        objective = min(ratio * a, min(max(ratio, 1 - cfg.eps_low), 1 + cfg.eps_high) * a)
        importance = 1.0 if cfg.importance_cap is None else min(math.exp(o - s), cfg.importance_cap)
        kl = {"k1": n - f, "k2": (n - f) ** 2 / 2, "k3": math.exp(f - n) - (f - n) - 1}[cfg.kl_estimator]
        total += w * (-importance * objective + cfg.kl * kl * ratio)
    return total


P, OLD, REF = ([0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.2, 0.2, 0.6])
"""Distributions of one token over a vocabulary of three: now, when it was sampled, and of the reference."""


def expected_gradient(estimator, importance, old):
    """Expectation over the sampled token of the gradient of `kl_term` by the logits, all tokens enumerated."""
    logits = torch.tensor(P, dtype=torch.float64).log().requires_grad_()
    logprobs, sampled = logits.log_softmax(-1), torch.tensor(old, dtype=torch.float64)
    cfg = LossConfig(kl=1.0)
    cfg.kl_estimator, cfg.kl_importance = estimator, importance  # also what the configuration refuses
    term = kl_term(logprobs, torch.tensor(REF, dtype=torch.float64).log(), torch.exp(logprobs - sampled.log()), cfg)
    (sampled * term).sum().backward()
    return logits.grad.tolist()


def exact_gradient(forward=False):
    """d KL(p || ref) / d logit_k = p_k (log p_k / ref_k - KL); of KL(ref || p) it is p_k - ref_k."""
    kl = sum(p * math.log(p / r) for p, r in zip(P, REF, strict=True))
    return [p - r if forward else p * (math.log(p / r) - kl) for p, r in zip(P, REF, strict=True)]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("old", [P, OLD])
def test_the_weighted_kl_term_has_the_gradient_of_the_reverse_kl(estimator, old):
    assert expected_gradient(estimator, True, old) == pytest.approx(exact_gradient(), abs=1e-12)


def test_the_kl_term_without_weight():
    assert expected_gradient("k2", False, P) == pytest.approx(exact_gradient(), abs=1e-12)
    assert expected_gradient("k3", False, P) == pytest.approx(exact_gradient(forward=True), abs=1e-12)
    assert expected_gradient("k1", False, P) == pytest.approx([0, 0, 0], abs=1e-12)
    with pytest.raises(ValueError, match=r"kl_estimator=k1: allowed is k2 or k3 with trainer.loss.kl_importance=false"):
        LossConfig(kl_estimator="k1", kl_importance=False)


@pytest.mark.parametrize("estimator", ["k1", "k3"])
@pytest.mark.parametrize("cap", [None, 1.1])
def test_against_a_loop(estimator, cap):
    generator = torch.Generator().manual_seed(0)
    new, old, rollout, ref = (torch.randn(200, generator=generator, dtype=torch.float64) * 0.4 - 1 for _ in range(4))
    advantages = torch.randn(200, generator=generator, dtype=torch.float64)
    weights = torch.rand(200, generator=generator, dtype=torch.float64)
    cfg = LossConfig(eps_low=0.2, eps_high=0.3, kl=0.1, kl_estimator=estimator, importance_cap=cap)
    rest = {"old_logprobs": old, "rollout_logprobs": rollout, "advantages": advantages, "weights": weights}
    loss, sums = policy_loss(new.requires_grad_(), **rest, ref_logprobs=ref, cfg=cfg)
    columns = [t.tolist() for t in (new, old, rollout, ref, advantages, weights)]
    assert loss.item() == pytest.approx(loop_loss(*columns, cfg), abs=1e-9)
    loss.backward()
    for k in range(0, 200, 17):  # gradient by central differences
        up, down = ([*columns[0]] for _ in range(2))
        up[k], down[k] = up[k] + 1e-6, down[k] - 1e-6
        slope = (loop_loss(up, *columns[1:], cfg) - loop_loss(down, *columns[1:], cfg)) / 2e-6
        assert new.grad[k].item() == pytest.approx(slope, abs=1e-5)
    ratio = (new - old).exp()
    clipped = ((ratio > 1.3) & (advantages > 0)) | ((ratio < 0.8) & (advantages < 0))
    assert sums["clipped"].item() == clipped.sum().item() > 0
    assert sums["gap_max"].item() == pytest.approx((old - rollout).abs().max().item())


SAMPLED = [0.1, 0.3, 0.6]
"""Distribution of an earlier update, which sampled the token."""


def stale_gradient(**options):
    """As `expected_gradient`, of the whole loss with advantages 1, -2 and 0.5, over samples of SAMPLED."""
    logits = torch.tensor(P, dtype=torch.float64).log().requires_grad_()
    logprobs, sampled = logits.log_softmax(-1), torch.tensor(SAMPLED, dtype=torch.float64)
    loss, _ = policy_loss(
        logprobs,
        old_logprobs=None,
        rollout_logprobs=sampled.log(),
        advantages=torch.tensor(ADVANTAGES, dtype=torch.float64),
        weights=sampled,
        ref_logprobs=torch.tensor(REF, dtype=torch.float64).log(),
        lengths=torch.tensor([1, 1, 1]),
        stale=True,
        cfg=LossConfig(**options),
    )
    loss.backward()
    return logits.grad.tolist()


ADVANTAGES = [1.0, -2.0, 0.5]


@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_samples_of_an_earlier_update_give_the_gradient_of_the_current_policy(kl):
    """Without a cap that applies: -d E_p[A] / d logit_k = -p_k (A_k - E_p[A]), plus the reverse KL."""
    mean = sum(p * a for p, a in zip(P, ADVANTAGES, strict=True))
    expected = [-p * (a - mean) + kl * slope for p, a, slope in zip(P, ADVANTAGES, exact_gradient(), strict=True)]
    assert stale_gradient(kl=kl, importance_cap=100.0) == pytest.approx(expected, abs=1e-12)


def test_a_cap_bounds_the_weight_or_leaves_the_token_out():
    """Ratios 5, 1 and 1/3 with a cap of 2: the first token counts 2/5 of its share, or not at all."""
    for mode, kept in (("token_truncate", 0.4), ("token_mask", 0.0)):
        shares = [p * a * k for p, a, k in zip(P, ADVANTAGES, (kept, 1, 1), strict=True)]
        expected = [-(share - p * sum(shares)) for share, p in zip(shares, P, strict=True)]
        assert stale_gradient(importance_cap=2.0, importance_mode=mode) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("token_truncate", [2.0, 0.5, 2.0, 2.0, 0.25]),
        ("token_mask", [2.0, 0.5, 0.0, 2.0, 0.25]),
        ("sequence_truncate", [1.0, 1.0, 2.0, 2.0, 2.0]),  # products 2 * 0.5 and 8 * 2 * 0.25
        ("sequence_mask", [1.0, 1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_importance_weights_by_hand(mode, expected):
    gap = torch.tensor([2.0, 0.5, 8.0, 2.0, 0.25]).log()
    cfg = LossConfig(importance_cap=2.0, importance_mode=mode)
    weights, above = importance_weights(gap, torch.tensor([2, 3]), cfg)
    assert weights.tolist() == pytest.approx(expected)
    assert above.tolist() == (
        [False, False, True, False, False] if mode.startswith("token") else [False] * 2 + [True] * 3
    )


def test_one_update_a_batch_has_ratio_one():
    new = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantages, weights = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.5])
    cfg = LossConfig(importance_cap=None)
    rest = {"old_logprobs": None, "rollout_logprobs": new.detach(), "advantages": advantages, "weights": weights}
    loss, sums = policy_loss(new, **rest, cfg=cfg)
    loss.backward()
    assert loss.item() == pytest.approx(-0.5)
    assert new.grad.tolist() == pytest.approx([-1.0, 0.5])  # -weight * advantage
    assert sums["clipped"].item() == 0


def test_tokens_of_weight_zero_count_nowhere():
    new = torch.tensor([-1.0, -5.0], requires_grad=True)
    loss, sums = policy_loss(
        new,
        old_logprobs=None,
        rollout_logprobs=torch.tensor([-1.0, -1.0]),
        advantages=torch.tensor([1.0, 1.0]),
        weights=torch.tensor([1.0, 0.0]),
        cfg=LossConfig(),
    )
    loss.backward()
    assert (sums["tokens"].item(), sums["gap"].item(), sums["gap_max"].item()) == (1, 0, 0)
    assert new.grad[1].item() == 0


def test_a_token_without_a_finite_log_probability_of_the_sampler_is_left_out_and_counted():
    new = torch.tensor([-1.0, -2.0, -3.0, -0.5], requires_grad=True)
    loss, sums = policy_loss(
        new,
        old_logprobs=None,
        rollout_logprobs=torch.tensor([-1.0, math.nan, -math.inf, math.nan]),
        advantages=torch.tensor([2.0, 1.0, 1.0, 1.0]),
        weights=torch.tensor([0.25, 0.25, 0.25, 0.0]),
        ref_logprobs=torch.tensor([-1.0, -1.0, -1.0, -1.0]),
        cfg=LossConfig(kl=0.1, importance_cap=2.0),
    )
    loss.backward()
    assert loss.item() == pytest.approx(-0.5)  # -0.25 * 2; the denominator stays that of three tokens
    assert new.grad.tolist() == pytest.approx([-0.5, 0, 0, 0])
    assert (sums["tokens"].item(), sums["unknown"].item(), sums["gap"].item()) == (1, 2, 0)
