"""Weights for an engine that keeps a copy of its own, and the check that both agree."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from corea.config.trainer_schema import LoraConfig
from corea.errors import UserError
from corea.rl.update.lora import add_adapters
from corea.rl.update.updater import update_metrics
from corea.rl.update.weight_sync import hand_over, require_parity, trained_weights
from rl_models import random_llama


def policy(model, adapters=None):
    return SimpleNamespace(model=model, adapters=adapters, gathered=nullcontext, cfg=SimpleNamespace(zero_stage=1))


def test_weights_go_by_the_names_of_the_model():
    model = random_llama()
    weights = dict(trained_weights(policy(model)))
    assert weights.keys() == model.state_dict().keys()
    assert {"lm_head.weight", "model.embed_tokens.weight"} <= weights.keys()  # tied, and under both names
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())


def test_adapters_are_handed_on_merged():
    model = random_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = add_adapters(model, LoraConfig(rank=2, alpha=4, targets=["q_proj"]))
    layer = model.model.layers[0].self_attn.q_proj
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    expected = layer.base_layer.weight + 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    merged = dict(trained_weights(policy(model, wrapper)))
    query, key = (f"model.layers.0.self_attn.{part}_proj.weight" for part in "qk")
    assert merged.keys() == set(before)
    assert torch.allclose(merged[query], expected, atol=1e-6)
    assert torch.equal(merged[key], before[key])
    assert torch.equal(layer.base_layer.weight, before[query])


def test_an_engine_that_takes_adapters_gets_them_alone(tmp_path):
    model = random_llama()
    wrapper = add_adapters(model, LoraConfig(rank=2, alpha=4, targets=["q_proj"]))

    class Engine:
        takes_adapters = True
        written = None

        def sync_adapter(self, write):
            write(tmp_path / "adapter")

        def sync(self, weights):
            self.written = dict(weights)

    engine = Engine()
    hand_over(engine, policy(model, wrapper))
    state = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    layers = [f"base_model.model.model.layers.{n}.self_attn.q_proj" for n in range(len(model.model.layers))]
    assert sorted(state) == sorted(f"{layer}.lora_{part}.weight" for layer in layers for part in "AB")
    layer = model.model.layers[0].self_attn.q_proj
    assert torch.equal(state[f"{layers[0]}.lora_A.weight"], layer.lora_A["default"].weight)
    stored = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (stored["r"], stored["lora_alpha"], stored["peft_type"]) == (2, 4, "LORA")
    engine.takes_adapters = False
    hand_over(engine, policy(model, wrapper))
    assert engine.written.keys() == dict(trained_weights(policy(model, wrapper))).keys()


def test_a_gap_beyond_the_limit_stops_the_run():
    figures = {"logprob_gap/mean": 0.06, "logprob_gap/max": 0.5}
    require_parity(figures, None, step=3)
    require_parity(figures, 0.06, step=3)
    with pytest.raises(UserError, match=r"step 3: the engine's log-probabilities .* by 0\.0600 on average"):
        require_parity(figures, 0.05, step=3)


def test_an_engine_without_any_finite_log_probability_stops_the_run():
    figures = update_metrics([{"loss": 0.0, "grad_norm": 0.0, "tokens": 0.0, "unknown": 12.0}])
    assert figures["missing_logprobs"] == 12
    with pytest.raises(UserError, match="step 3: none of the engine's 12 log-probabilities is a finite number"):
        require_parity(figures, None, step=3)


def test_the_loss_of_an_update_is_the_sum_over_its_ranks():
    """Two ranks and two updates: 0.2 + 0.4 and 0.1 + 0.1, on average 0.4; the norm is that of the whole gradient."""
    first = [{"loss": 0.2, "grad_norm": 3.0, "tokens": 1.0}, {"loss": 0.1, "grad_norm": 1.0, "tokens": 1.0}]
    second = [{"loss": 0.4, "grad_norm": 3.0, "tokens": 1.0}, {"loss": 0.1, "grad_norm": 1.0, "tokens": 1.0}]
    figures = update_metrics([*first, *second], ranks=2)
    assert (figures["loss"], figures["grad_norm"]) == (pytest.approx(0.4), 2.0)
