"""Micro-batches and the forward pass: neither padding, nor sharing of prompts, nor chunks change a log-probability."""

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from corea.errors import UserError
from corea.rl.update.batching import build_micro_batch, grow_trees, micro_batches, tree_length
from corea.rl.update.forward import TokenLogprobs, require_plain_head, supports_trees
from rl_models import VOCAB, hand_row, plain_logprobs, random_llama, random_rows


def test_a_tree_by_hand():
    batch = build_micro_batch([[hand_row([7, 8], [1, 2, 3]), hand_row([7, 8], [4, 5])]], pad=0)
    assert batch.input_ids.tolist() == [[7, 8, 1, 2, 4]]  # the last token of a completion predicts nothing
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2]]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5]
    assert batch.source.tolist() == [1, 2, 3, 1, 4]  # both first tokens come after the prompt's last
    assert batch.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]


def test_single_rows_need_no_mask():
    batch = build_micro_batch([[hand_row([7, 8], [1, 2, 3])], [hand_row([9], [4])]], pad=0)
    assert batch.mask is None
    assert batch.position_ids is None
    assert batch.input_ids.tolist() == [[7, 8, 1, 2], [9, 0, 0, 0]]
    assert batch.source.tolist() == [1, 2, 3, 4]


def test_trees_join_equal_prompts_up_to_the_limit():
    rows = [hand_row([1, 2], [3, 4, 5]), hand_row([1, 2], [3, 4]), hand_row([1, 2], [5, 6]), hand_row([9], [1])]
    assert [len(t) for t in grow_trees(rows, 100, share_prompt=True)] == [3, 1]
    assert [len(t) for t in grow_trees(rows, 5, share_prompt=True)] == [2, 1, 1]
    assert [len(t) for t in grow_trees(rows, 100, share_prompt=False)] == [1, 1, 1, 1]
    assert tree_length(rows[:3]) == 2 + 2 + 1 + 1


@pytest.mark.parametrize("budget", [1, 16, 64, 4096])
@pytest.mark.parametrize("share", [True, False])
def test_every_token_once_within_the_budget(budget, share):
    rows = random_rows()
    batches = micro_batches(rows, budget, pad=0, share_prompt=share)
    assert sum(len(b.targets) for b in batches) == sum(len(r.token_ids) for r in rows)
    assert sum(b.weights.sum().item() for b in batches) == pytest.approx(1.0)
    assert all(b.input_ids.numel() <= budget or len(b.input_ids) == 1 for b in batches)
    lengths = [b.input_ids.shape[1] for b in batches]
    assert lengths == sorted(lengths, reverse=True)


def by_token(model, rows, **options):
    """Log-probabilities as a sorted list of (target, logprob), the order in which micro-batches hold rows aside."""
    pairs = []
    for batch in micro_batches(rows, options.pop("budget"), pad=options.pop("pad", 0), share_prompt=options["share"]):
        logprobs = model(batch)[0]
        pairs += zip(batch.targets.tolist(), batch.rollout_logprobs.tolist(), logprobs.tolist(), strict=True)
    return sorted(pairs)


@pytest.mark.parametrize("budget", [1, 40, 4096])
@pytest.mark.parametrize("share", [True, False])
def test_logprobs_are_those_of_the_plain_model(budget, share):
    model, rows = random_llama(), random_rows()
    plain = sorted(
        (t, o, p)
        for r in rows
        for t, o, p in zip(
            r.token_ids,
            torch.tensor(r.rollout_logprobs).tolist(),
            plain_logprobs(model, r, 0.7).tolist(),
            strict=True,
        )
    )
    found = by_token(TokenLogprobs(model, 0.7), rows, budget=budget, share=share)
    assert [f[0] for f in found] == [p[0] for p in plain]
    assert [f[2] for f in found] == pytest.approx([p[2] for p in plain], abs=2e-5)


@pytest.mark.parametrize("share", [True, False])
def test_what_stands_in_the_padding_does_not_matter(share):
    model, rows = TokenLogprobs(random_llama(), 1.0), random_rows()
    assert by_token(model, rows, budget=256, share=share, pad=0) == by_token(
        model, rows, budget=256, share=share, pad=VOCAB - 1
    )


def test_chunks_change_nothing():
    model, rows = random_llama(), random_rows()
    batch = micro_batches(rows, 4096, pad=0)[0]
    results = []
    for logits in (1 << 25, 3 * VOCAB):
        model.zero_grad()
        logprobs, entropy, _ = TokenLogprobs(model, 1.0, chunk_logits=logits)(batch)
        (logprobs * torch.arange(len(logprobs))).mean().backward()
        results.append((logprobs.detach(), entropy, [p.grad.clone() for p in model.parameters()]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-5)


def test_entropy_by_hand():
    """A model with an all-zero output layer is uniform: entropy ln V."""
    model = random_llama()
    model.lm_head.weight.data.zero_()
    _, entropy, _ = TokenLogprobs(model, 1.0)(micro_batches(random_rows(), 4096, pad=0)[0])
    assert entropy.tolist() == pytest.approx([torch.tensor(float(VOCAB)).log().item()] * len(entropy), abs=1e-5)


def test_trees_need_full_sdpa_attention():
    model = random_llama()
    assert supports_trees(model)
    model.config.layer_types = ["sliding_attention", "full_attention"]
    assert not supports_trees(model)


def test_capped_logits_are_refused():
    sizes = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "head_dim": 4}
    for cap, allowed in ((None, True), (0.5, False)):
        config = Gemma2Config(
            **sizes, num_attention_heads=2, num_key_value_heads=2, final_logit_softcapping=cap, pad_token_id=0
        )
        model = Gemma2ForCausalLM(config)
        model.lm_head.weight.data.normal_()
        if allowed:
            require_plain_head(model)
        else:
            with pytest.raises(UserError, match="capped after the output layer"):
                require_plain_head(model)
