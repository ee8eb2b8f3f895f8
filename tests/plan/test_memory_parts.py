"""Memory by part: by hand, and constants and growth as in the code that they describe."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from corea.plan import memory_parts
from corea.plan.memory_parts import cache_columns, layer_activations, memory_of
from plan_setting import SETTING, SHAPE

P = SHAPE.parameters


def parts(phase, **changes):
    return memory_of(replace(SETTING, **changes)).parts[phase]


@pytest.mark.parametrize(
    ("stage", "weights", "gradients", "optimizer"),
    [(1, 2 * P, 2 * P, 12 * P / 4), (2, 2 * P, 2 * P / 4, 12 * P / 4), (3, 2 * P / 4, 2 * P / 4, 12 * P / 4)],
)
def test_each_stage_splits_one_more_part_among_four_gpus(stage, weights, gradients, optimizer):
    found = parts("backward", stage=stage)
    assert (found["weights"], found["gradients"], found["optimizer"]) == (weights, gradients, optimizer)
    # this GPU's gradients, 2 bytes each, with a float32 copy; two float32 numbers of AdamW
    step = parts("step", stage=stage)
    assert (step["gradients"], step["workspace of the optimizer"]) == (6 * P / 4, 8 * P / 4)


def test_stage_0_has_no_master_weights_and_splits_nothing():
    found = parts("backward", stage=0, item=4)
    assert (found["weights"], found["gradients"], found["optimizer"]) == (4 * P, 4 * P, 8 * P)


def test_a_gpu_holds_the_buffer_of_gradients_that_deepspeed_reduces():
    assert parts("backward", on_cpu=False)["gradients"] == 2 * P + 2 * 500_000_000


def test_offloading_moves_the_optimizer_and_at_stage_3_the_weights():
    second, third = (memory_of(replace(SETTING, stage=stage, offload=True)) for stage in (2, 3))
    assert second.parts["backward"]["optimizer"] == 0
    assert second.cpu == 12 * P / 4
    assert third.parts["backward"]["weights"] == 0
    assert third.cpu == 14 * P / 4


def test_adapters_need_gradients_and_moments_for_themselves_alone_and_no_reference():
    adapters = SHAPE.adapter_parameters(3)
    found = parts("backward", rank=3, reference=True)
    assert found["weights"] == 2 * (P + adapters)
    assert found["gradients"] == 2 * adapters
    assert found["reference"] == 0
    assert parts("backward", reference=True)["reference"] == 2 * P
    assert parts("backward", reference=True, stage=3)["reference"] == 2 * P / 4


def test_recomputed_layers_keep_their_input_alone():
    # norms 6 x 4, q, k, v and the result 4 x 4, feed-forward 4 x 8: 72 float32 numbers
    assert layer_activations(SHAPE, 4) == 72 * 4
    # in bfloat16 each norm also keeps its input in float32: 4 x 4 - 2 x 4 bytes more
    assert layer_activations(SHAPE, 2) == 72 * 2 + 2 * 2 * 4
    kept = parts("backward", item=4)["activations"] - parts("backward", item=4, recompute=True)["activations"]
    assert kept == 100 * (2 * 288 - 2 * 16)
    # the layer that is computed again: 288, and gradients of 3 x 8 + 3 x 4 numbers
    assert parts("backward", item=4, recompute=True)["logits, or one layer"] == 100 * (288 + 36 * 4)
    # trees of 6 + 4 x 9 = 42 tokens: 42 numbers of mask for each of 100 tokens in each of two layers
    assert parts("backward", trees=True)["activations"] - parts("backward")["activations"] == 2 * 100 * 42 * 2
    # adapters: no normalised inputs of two norms, 3 numbers in each of 7 linear layers
    assert layer_activations(SHAPE, 4, 3) == (72 - 2 * 4 + 7 * 3) * 4


def test_the_cache_holds_the_rows_of_this_gpu():
    # 8 questions on 4 GPUs: 2 groups of 4; 6 + 10 columns, keys and values of 2 numbers of 2 bytes in 2 layers, and a
    # copy of one of both layers while it grows
    assert SETTING.own_rows == 8
    assert replace(SETTING, rows=4).own_rows == 4
    assert parts("rollout", on_cpu=False)["KV cache"] == 8 * 16 * 2 * 2 * 2 * 2 * 1.5


def test_on_a_cpu_the_prompt_of_a_group_is_held_once():
    # 2 prompts of 6 columns, 8 rows of 10 new ones; the copy while it grows holds no prompt
    assert parts("rollout", on_cpu=True)["KV cache"] == (8 * 10 * 1.5 + 2 * 6) * 2 * 2 * 2 * 2
    assert parts("rollout", on_cpu=True, group=1)["KV cache"] == 2 * 16 * 2 * 2 * 2 * 2 * 1.5


@pytest.mark.parametrize(("prompt", "completion"), [(5, 3), (5, 64), (5, 66), (100, 500), (30, 1024)])
def test_the_cache_has_the_columns_that_the_engine_allocates(prompt, completion):
    from corea.engines.local.decode import FIRST_ROOM
    from corea.engines.local.kv_cache import SlotCache

    cache = SlotCache(0, prompts=1, copies=1, shortest=prompt, width=prompt, room=min(completion, FIRST_ROOM))
    cache.decode()
    for _ in range(completion - 1):  # the last token is not fed back
        cache.make_room()
        cache.advance()
    assert cache_columns(prompt, completion) == cache.window.width + cache.window.room


def test_an_engine_that_sleeps_frees_its_memory_for_the_update():
    awake = memory_of(replace(SETTING, engine="vllm", engine_bytes=7.0, sleeps=False))
    asleep = memory_of(replace(SETTING, engine="vllm", engine_bytes=7.0))
    assert (awake.parts["rollout"]["engine"], awake.parts["step"]["engine"]) == (7, 7)
    assert asleep.parts["rollout"]["engine"] == 7
    assert "engine" not in asleep.parts["backward"]
    assert "engine" not in memory_of(replace(SETTING, engine="vllm_server")).parts["rollout"]


def test_the_constants_are_those_of_the_code_they_describe():
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    from corea.engines.local import decode
    from corea.rl.update import batching, output_layer

    zero = DeepSpeedZeroConfig()
    assert zero.reduce_bucket_size == memory_parts.BUCKET
    assert zero.max_live_parameters == memory_parts.LIVE
    assert memory_parts.CHUNK_LOGITS == output_layer.CHUNK_LOGITS
    assert memory_parts.TREE_TOKENS == batching.TREE_TOKENS
    assert (memory_parts.PIECE_TOKENS, memory_parts.FIRST_ROOM) == (decode.PIECE_TOKENS, decode.FIRST_ROOM)


@pytest.mark.parametrize(("dtype", "item"), [(torch.float32, 4), (torch.bfloat16, 2)])
def test_a_layer_keeps_what_autograd_keeps_of_it(dtype, item):
    """Bytes of the tensors saved by a model of two layers beyond those of a model of one, with a mask."""
    one, two = (saved_bytes(layers, dtype) for layers in (1, 2))
    # beside the tensors that count: a row's norm factors and softmax sums, float32
    sums = ROWS * LENGTH * (2 + SHAPE_OF_TEST.heads) * 4
    mask = ROWS * LENGTH * LENGTH * item
    assert two - one == ROWS * LENGTH * layer_activations(SHAPE_OF_TEST, item) + mask + sums


ROWS, LENGTH = 2, 16
SHAPE_OF_TEST = replace(SHAPE, layers=1, hidden=32, heads=4, kv_heads=2, head_size=8, feed_forward=48, vocabulary=64)


def saved_bytes(layers, dtype):
    """Bytes that a forward pass keeps for the backward pass, each storage once, without the weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = SHAPE_OF_TEST
    sizes = {"vocab_size": shape.vocabulary, "hidden_size": shape.hidden, "intermediate_size": shape.feed_forward}
    heads = {"num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads}
    config = LlamaConfig(**sizes, **heads, num_hidden_layers=layers, attn_implementation="sdpa")
    model = LlamaForCausalLM(config).to(dtype).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept, held = {}, []

    def pack(tensor):
        held.append(tensor)  # so that no address is used twice
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    mask = torch.ones(ROWS, 1, LENGTH, LENGTH, dtype=torch.bool).tril()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ids = torch.zeros(ROWS, LENGTH, dtype=torch.long)
        places = torch.arange(LENGTH).expand(ROWS, -1)
        model.get_decoder()(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
    return sum(kept.values())
