"""Prompts that are held once for all of their completions give the tokens and the numbers that copies of them give."""

from __future__ import annotations

import pytest
import torch
import transformers

from corea.engines.local import decode as decoding
from corea.engines.local.attention import grouped
from corea.engines.local.decode import DecodeOptions, Decoder, decode
from corea.engines.local.shared_prompts import CURRENT, Slots
from corea.engines.local.token_sampling import noise_keys, uniforms
from random_models import random_model

PROMPTS = sorted([[5, 6, 7], [8, 9, 10, 11, 12], [13] * 9, [5, 6, 8]], key=len)


@pytest.fixture(scope="module", params=["llama", "llama_grouped", "qwen2"])
def model(request, tokenizer):
    return random_model(request.param, tokenizer)


def rows(model, prompts, copies, *, share, monkeypatch, stop_ids=(3, 4, 5, 6, 7, 8), room=12):
    options = DecodeOptions(
        copies=copies, limits=[room] * len(prompts), stop_ids=stop_ids, temperature=1.0, pad=0,
        noise=uniforms(noise_keys(prompts, 3), copies, room),
    )  # fmt: skip
    with monkeypatch.context() as patch, grouped(model):
        if not share:
            patch.setattr(decoding, "can_share", lambda *_: False)
        return decode(model, prompts, options)


@pytest.mark.parametrize("prompts", [PROMPTS, [[5, 6, 7], [8, 9, 10]]], ids=["padded", "equal lengths"])
def test_both_layouts_give_the_same_completions(model, prompts, monkeypatch):
    shared = rows(model, prompts, 6, share=True, monkeypatch=monkeypatch)
    whole = rows(model, prompts, 6, share=False, monkeypatch=monkeypatch)
    assert len({len(row.token_ids) for row in shared}) > 3  # rows finish at different times
    for one, other in zip(shared, whole, strict=True):
        assert one.token_ids == other.token_ids
        assert one.stopped == other.stopped
        torch.testing.assert_close(one.logprobs, other.logprobs, rtol=0, atol=2e-5)


def test_more_new_tokens_than_the_cache_holds_at_first(model, monkeypatch):
    monkeypatch.setattr(decoding, "FIRST_ROOM", 4)
    shared = rows(model, PROMPTS, 3, share=True, monkeypatch=monkeypatch, stop_ids=(3,), room=90)
    whole = rows(model, PROMPTS, 3, share=False, monkeypatch=monkeypatch, stop_ids=(3,), room=90)
    assert max(len(row.token_ids) for row in shared) == 90
    assert [row.token_ids for row in shared] == [row.token_ids for row in whole]


def test_the_prompts_are_held_once(model):
    with grouped(model):
        decoder = Decoder(model, PROMPTS, 6, pad=0, room=10)
        decoder.prefill()
        decoder.step(torch.full((24,), 9))
    layer = decoder.cache.layers[0]
    heads, size = layer.keys.shape[1], layer.keys.shape[3]
    assert [tuple(part.shape) for part in layer.prompts] == [(4, heads, 9, size)] * 2
    assert layer.keys.shape == layer.values.shape == (24, heads, 10, size)


SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
MASKS = transformers.DogeConfig(**SMALL, num_key_value_heads=4, keep_window_size=4)
"""Each layer changes the mask before its attention."""
SIZES = transformers.DeepseekV3Config(
    **SMALL, num_key_value_heads=4, moe_intermediate_size=16, n_routed_experts=2, num_experts_per_tok=1, n_group=1,
    topk_group=1, first_k_dense_replace=2, kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=4, qk_nope_head_dim=8,
    v_head_dim=8,
)  # fmt: skip
"""Values have another size than keys."""


@pytest.mark.parametrize("config", [MASKS, SIZES], ids=["masks", "sizes"])
def test_layers_whose_attention_is_something_else_get_copies(config, monkeypatch):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    with grouped(model):
        decoder = Decoder(model, PROMPTS, 3, pad=0, room=10)
        assert decoder.cache.window.slots is not None
        decoder.prefill()
    assert decoder.cache.window.slots is None
    shared = rows(model, PROMPTS, 3, share=True, monkeypatch=monkeypatch)
    whole = rows(model, PROMPTS, 3, share=False, monkeypatch=monkeypatch)
    assert [row.token_ids for row in shared] == [row.token_ids for row in whole]


@pytest.mark.parametrize(
    "change", [{"s_aux": 1}, {"mask": torch.ones((1, 2, 3, 3), dtype=torch.bool)}, {"mask": torch.zeros((1, 1, 3, 3))}]
)
def test_what_would_change_the_scores_is_refused(change):
    states = [torch.zeros(1, 2, 3, 4)] * 3
    for given in ({}, change):
        slots = Slots([3], 2, torch.float32)
        slots.layers = [None, None]
        slots.new_pass()
        slots.note(0, states, None, {})
        slots.note(1, states, given.get("mask"), {"s_aux": given.get("s_aux")})
        assert slots.start() == (not given)


def test_without_the_attention_of_the_engine_nothing_is_shared(model):
    decoder = Decoder(model, PROMPTS, 3, pad=0, room=10)  # not inside grouped()
    decoder.prefill()
    assert decoder.cache.window.slots is None
    assert decoder.step(torch.full((12,), 9)).shape[0] == 12
    assert CURRENT.get() is None


def test_slots_of_rows_that_move():
    slots = Slots([2, 3, 3, 4], 2, torch.float32)  # rows 0 1 | 2 3 | 4 5 | 6 7
    # rows 1, 2 and 3 finish; 5, 6, 7 move into their places: rows 0 | 5 6 7 -> owners 0 2 3 3, and 4 stays
    kept = slots.move(torch.tensor([5, 6, 7]), torch.tensor([1, 2, 3]), 5)
    assert kept.tolist() == [0, 2, 3]  # prompt 1 has no row any more
    assert slots.owners.tolist() == [0, 1, 2, 2, 1]
    assert (slots.prompts, slots.size) == (3, 2)
    assert slots.places.tolist() == [0, 2, 4, 5, 3]
    assert slots.bias.shape == (3, 1, 1, 4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_attention_equals_one_softmax_over_all_columns(dtype, tolerance):
    torch.manual_seed(0)
    slots = Slots([3, 5], 3, dtype)
    keys, values = torch.randn(2, 2, 2, 5, 4, dtype=dtype)  # [P, K, W, D]
    slots.layers = [type("Layer", (), {"prompts": (keys, values)})]
    slots.move(torch.tensor([5]), torch.tensor([0]), 5)  # rows of prompts 1 0 0 1 1
    query, new_keys, new_values = (torch.randn(s, dtype=dtype) for s in ((5, 4, 1, 4), (5, 2, 3, 4), (5, 2, 3, 4)))
    found = slots.attend(0, query, new_keys, new_values, 0.5)
    for row, prompt in enumerate([1, 0, 0, 1, 1]):
        start = 0 if prompt else 2
        for head in range(4):
            k = torch.cat([keys[prompt, head // 2, start:], new_keys[row, head // 2]])
            v = torch.cat([values[prompt, head // 2, start:], new_values[row, head // 2]])
            expected = torch.softmax(0.5 * (k @ query[row, head, 0]), 0) @ v
            torch.testing.assert_close(found[row, 0, head], expected, rtol=tolerance, atol=tolerance)
