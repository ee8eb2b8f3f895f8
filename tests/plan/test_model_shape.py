"""Sizes of models: parameters as published, operations by hand and by torch's own counter."""

from __future__ import annotations

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from corea.composition import conf_dir
from corea.model_shape import SHAPES, ModelShape, shape_of

TINY = ModelShape(layers=1, hidden=2, heads=1, kv_heads=1, head_size=2, feed_forward=3, vocabulary=5, tied=True)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", 494_032_768),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400),
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("google/gemma-3-270m-it", 268_098_176),
        ("google/gemma-3-1b-it", 999_885_952),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
    ],
)
def test_parameters_are_those_of_the_published_weights(path, parameters):
    assert SHAPES[path].parameters == parameters


def test_every_model_of_conf_has_a_shape():
    paths = {yaml.safe_load(file.read_text())["path"] for file in (conf_dir() / "model").glob("*.yaml")}
    assert {path for path in paths if not path.startswith(("package:", "${"))} <= set(SHAPES)
    assert len(SHAPES) > 14


def test_operations_of_a_tiny_model_by_hand():
    # weights of the layer: q and o 2 x 2 each, k and v 2 x 2 each, feed-forward 3 x (2 x 3): 16 + 18 = 34
    assert TINY.layer_weights == 34
    # 3 tokens: 2 x 34 x 3 = 204; 6 causal pairs: 4 x 2 x 6 = 48; 2 tokens scored: 2 x 5 x 2 x 2 = 40
    assert TINY.forward_flops(tokens=3, pairs=6, scored=2) == 204 + 48 + 40


def test_parameters_of_a_tiny_model_and_of_its_adapters_by_hand():
    # 34 + two norms of 2 + embedding 5 x 2 + last norm of 2; untied one more matrix of 10
    assert TINY.parameters == 34 + 4 + 10 + 2
    # rank 1: q, k, v, o 4 each, gate, up and down 5 each
    assert TINY.adapter_parameters(1) == 16 + 15
    # keys and values of 2 float32 numbers each
    assert TINY.cache_bytes(4) == 16


def test_operations_are_those_that_torch_counts():
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, attn_implementation="eager")
    model = LlamaForCausalLM(config).eval()
    shape = shape_of(config)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros((1, 6), dtype=torch.long), use_cache=False)
    assert counter.get_total_flops() == shape.forward_flops(tokens=6, pairs=36, scored=6)  # masked pairs count too
