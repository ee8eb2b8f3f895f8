"""Packed rows: the loss and gradients of padded ones, and no token that sees another sequence."""

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from corea.config import LossConfig
from corea.errors import UserError
from corea.rl.update.batching import Block, build_micro_batch, micro_batches
from corea.rl.update.forward import TokenLogprobs, require_packing
from corea.rl.update.packed_attention import FLASH, NAME, attention_of, packed_arguments, run_decoder
from corea.rl.update.policy import Policy
from rl_models import VOCAB, hand_row, random_llama, random_rows, trainer_config


def test_a_packed_row_by_hand():
    trees = [[hand_row([7, 8], [1, 2, 3]), hand_row([7, 8], [4, 5])], [hand_row([9], [6, 5])]]
    batch = build_micro_batch(trees, pad=0, packing=True)
    assert batch.input_ids.tolist() == [[7, 8, 1, 2, 4, 9, 6]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert batch.segments.tolist() == [0, 0, 1, 1, 2, 0, 1]
    assert batch.source.tolist() == [1, 2, 3, 1, 4, 5, 6]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5, 6, 5]
    assert batch.lengths.tolist() == [3, 2, 2]
    assert batch.blocks == [Block(start=0, stop=5, shared=True), Block(start=5, stop=7, shared=False)]


def test_the_first_part_with_room_takes_a_tree():
    """Lengths 7, 6, 3, 2, 2 in parts of 10 tokens; padded, the same rows need 14 + 6 + 4 + ... tokens."""
    rows = [hand_row([k], [1] * length) for k, length in enumerate((3, 7, 2, 6, 2), 1)]  # the last token is no input
    batches = micro_batches(rows, 10, pad=0, packing=True)
    assert [[b.stop - b.start for b in batch.blocks] for batch in batches] == [[7, 3], [6, 2, 2]]


@pytest.mark.parametrize("share", [True, False])
def test_loss_and_gradients_are_those_of_padded_rows(share):
    rows = random_rows()
    results = []
    for packing in (False, True):
        cfg = trainer_config(packing=packing, loss=LossConfig(importance_cap=2.0, importance_mode="sequence_truncate"))
        policy = Policy(random_llama(), cfg, pad=0)
        batches = micro_batches(rows, 64, pad=0, share_prompt=share, packing=packing)
        sums = [policy._accumulate(batch) for batch in batches]
        totals = [sum(s[name] for s in sums) for name in ("loss", "entropy", "gap", "capped", "tokens")]
        results.append((totals, [p.grad.clone() for p in policy.model.parameters()]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=0, atol=1e-5)


def test_recomputed_activations_use_the_same_attention():
    rows, gradients = random_rows(groups=2, size=3), []
    for recomputed in (False, True):
        policy = Policy(random_llama(), trainer_config(packing=True, gradient_checkpointing=recomputed), pad=0)
        policy.engine.train()
        for batch in micro_batches(rows, 10**4, pad=0, packing=True):
            policy._accumulate(batch)
        gradients.append([p.grad.clone() for p in policy.model.parameters()])
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-6)


@pytest.mark.parametrize("share", [True, False])
def test_no_token_sees_another_sequence(share):
    """The gradient of each completion's scores reaches its own tokens and its prompt, and no other embedding."""
    model, rows = random_llama().requires_grad_(False), random_rows(groups=3, size=2)
    (batch,) = micro_batches(rows, 10**4, pad=0, share_prompt=share, packing=True)
    embedded = model.get_input_embeddings()(batch.input_ids).requires_grad_()
    model.get_input_embeddings().register_forward_hook(lambda *_: embedded)
    hidden = run_decoder(model, batch)[0]
    for block in batch.blocks:
        parts = batch.segments[block.start : block.stop] if share else torch.zeros(block.stop - block.start)
        for part in parts.unique():
            own = block.start + (parts == part).nonzero()[:, 0]
            (gradient,) = torch.autograd.grad(hidden[own].sum(), embedded, retain_graph=True)
            seen = set((gradient[0].abs().sum(-1) > 0).nonzero()[:, 0].tolist())
            prompt = block.start + (parts == 0).nonzero()[:, 0]
            assert seen == {*own.tolist(), *prompt.tolist()}


def test_flash_attention_gets_the_borders_of_the_sequences():
    batch = build_micro_batch([[hand_row([7, 8], [1, 2, 3])], [hand_row([9], [6, 5])]], pad=0, packing=True)
    arguments = packed_arguments(batch, FLASH)
    assert arguments["cu_seq_lens_q"].tolist() == arguments["cu_seq_lens_k"].tolist() == [0, 4, 6]
    assert arguments["cu_seq_lens_q"].dtype == torch.int32
    assert arguments["max_length_q"] == arguments["max_length_k"] == 4
    with attention_of(random_llama(), batch) as implementation:
        assert implementation == NAME  # not on a CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_flash_attention_computes_each_sequence_alone():
    pytest.importorskip("flash_attn")
    model, rows = random_llama().to("cuda", torch.bfloat16), random_rows()
    scored, results = TokenLogprobs(model, 1.0), []
    for packing in (False, True):
        (batch,) = micro_batches(rows, 10**5, pad=0, share_prompt=False, packing=packing)
        with attention_of(model, batch) as implementation:
            assert implementation == (FLASH if packing else "sdpa")
        results.append(scored(batch.to(torch.device("cuda")))[0])
    torch.testing.assert_close(*results, rtol=0.05, atol=0.05)


def test_a_sliding_window_is_refused():
    sizes = {"vocab_size": VOCAB, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    require_packing(MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=None)))
    with pytest.raises(UserError, match=r"packing=true: .* does not compute the sequences of a packed row apart"):
        require_packing(MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=4)))
