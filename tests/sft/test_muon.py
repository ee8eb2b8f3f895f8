"""Muon for the matrices of the layers, AdamW for the rest."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from corea.config import SupervisedConfig
from corea.config.trainer_schema import OptimizerConfig
from corea.sft.supervised import MuonAndAdamW, build_optimizer, train_supervised

CFG = SupervisedConfig(steps=4, batch_size=2, muon_lr=0.02, optimizer=OptimizerConfig(lr=0.01, schedule="linear"))
EXAMPLES = [([1, 2], [3, 4]), ([5], [6, 7, 8])]


def tiny_model():
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=12,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
    )


def train(model, optimizer, cfg, start=0):
    lrs = []
    train_supervised(
        model, optimizer, lambda step: EXAMPLES, cfg, pad=0, start=start, log=lambda m: lrs.append(m["lr"])
    )
    return lrs


def test_matrices_of_the_layers_go_to_muon_and_embeddings_and_norms_to_adamw():
    model = tiny_model()
    optimizer = build_optimizer(model, CFG)
    assert isinstance(optimizer, MuonAndAdamW)
    names = {id(p): n for n, p in model.named_parameters()}
    muon = {names[id(p)] for g in optimizer.muon.param_groups for p in g["params"]}
    adamw = {names[id(p)] for g in optimizer.adamw.param_groups for p in g["params"]}
    assert muon == {n for n in names.values() if n.endswith("proj.weight")}
    assert adamw == {n for n in names.values() if "norm" in n} | {"model.embed_tokens.weight"}


def test_the_update_of_a_square_matrix_has_orthogonal_rows_of_the_stated_scale():
    model = tiny_model()
    optimizer = build_optimizer(model, CFG)
    matrix = model.model.layers[0].self_attn.q_proj.weight
    before = matrix.detach().clone()
    matrix.grad = torch.diag(torch.arange(1.0, 9.0))
    optimizer.muon.step()
    update = before - matrix.detach()
    # Adjusted to AdamW's scale: learning rate x 0.2 x sqrt(8) x an orthogonal matrix, here about the identity.
    expected = 0.02 * 0.2 * 8**0.5
    assert update.diagonal().tolist() == pytest.approx([expected] * 8, rel=0.35)
    assert (update - torch.diag(update.diagonal())).abs().max() < 0.05 * expected


def test_the_schedule_keeps_the_ratio_of_the_two_learning_rates():
    optimizer = build_optimizer(tiny_model(), CFG)
    train(tiny_model(), optimizer, CFG)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.02 / 4, 0.01 / 4, 0.01 / 4])


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    whole = tiny_model()
    train(whole, build_optimizer(whole, CFG), CFG)
    half = tiny_model()
    optimizer = build_optimizer(half, CFG)
    train(half, optimizer, SupervisedConfig(**{**vars(CFG), "stop_after": 2}))
    torch.save({"model": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "sft.pt")
    state = torch.load(tmp_path / "sft.pt", weights_only=True)
    again = tiny_model()
    again.load_state_dict(state["model"])
    optimizer = build_optimizer(again, CFG)
    optimizer.load_state_dict(state["optimizer"])
    train(again, optimizer, CFG, start=2)
    for one, two in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
