"""Where models come from, and what is said when they are not there."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig

from corea.engines.loading import (
    encode_prompt,
    eos_ids,
    eos_ids_of,
    load_error,
    load_model,
    model_location,
    pick_dtype,
    require_attention,
    template_prefix,
)
from corea.errors import UserError
from random_models import random_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    path = tmp_path_factory.mktemp("model")
    random_model("llama", tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_a_local_folder(folder, tokenizer):
    model, loaded = load_model(str(folder), device="cpu")
    assert model.dtype is torch.float32
    assert not model.training
    assert eos_ids(model, loaded) == {tokenizer.eos_token_id, *range(20)}
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert load_model(str(folder), dtype="bfloat16", device="cpu")[0].dtype is torch.bfloat16


def test_auto_dtype_is_what_the_device_computes_in():
    assert pick_dtype("auto", torch.device("cpu")) is torch.float32


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"has no config\.json"):
        load_model(str(tmp_path))


def test_no_such_folder(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load_model(str(tmp_path / "absent"))


def test_pickled_weights_are_refused(folder, tmp_path, tokenizer):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(random_model("llama", tokenizer).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))


def test_broken_weights(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))


def test_a_tokenizer_that_is_missing(folder, tmp_path):
    for file in folder.iterdir():
        if not file.name.startswith("tokenizer"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="has no tokenizer"):
        load_model(str(tmp_path))


def test_weights_that_lack_a_layer(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing, e\.g\. model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(str(tmp_path))


def test_the_hub_out_of_reach(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"model\.path=no-one/nothing: cannot be loaded") as caught:
        load_model("no-one/nothing")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(
        "; with a copy made by `hf download no-one/nothing --local-dir DIR`, model.path=DIR"
    )


def test_a_licence_that_wants_a_click():
    error = OSError("You are trying to access a gated repo.\nMake sure to have access to it at ...")
    assert load_error("meta/llama", "meta/llama", "abc", error) == (
        "model.path=meta/llama: requires accepting its licence: do so at https://huggingface.co/meta/llama, "
        "log in with `hf auth login`, and start again; or, with a copy made by `hf download meta/llama --revision abc "
        "--local-dir DIR`, model.path=DIR"
    )


def test_a_packaged_model_that_is_not_shipped():
    with pytest.raises(UserError, match=r"model\.path=package:huge: corea ships"):
        model_location("package:huge")


def test_hub_ids_are_left_to_the_hub():
    assert model_location("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"


def test_recurrent_models_are_refused():
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=20, hidden_size=8, num_hidden_layers=1, state_size=2))
    with pytest.raises(UserError, match="model m: engine=hf supports only models whose layers are all attention"):
        require_attention(model, "m")


class TestEncodePrompt:
    MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "3 + 4 ="})

    def test_template(self, tokenizer):
        ids = encode_prompt(tokenizer, self.MESSAGES[1:], "m")
        assert tokenizer.decode(ids) == "<|user|>3 + 4 =<|assistant|>"

    def test_a_template_without_a_system_role(self, tokenizer, monkeypatch):
        refuse = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        monkeypatch.setattr(tokenizer, "chat_template", refuse + tokenizer.chat_template)
        ids = encode_prompt(tokenizer, self.MESSAGES, "m")
        assert tokenizer.decode(ids) == "<|user|>Be brief.\n\n3 + 4 =<|assistant|>"

    def test_no_template(self, tokenizer, monkeypatch):
        monkeypatch.setattr(tokenizer, "chat_template", None)
        with pytest.raises(UserError, match="model m: its tokenizer has no chat template"):
            encode_prompt(tokenizer, self.MESSAGES, "m")

    def test_variables_of_a_template_and_what_it_begins(self, tokenizer, monkeypatch):
        """As Qwen3's template closes the thoughts, and that of a model that always thinks opens them."""
        thinking = "{% if thinking is defined %}{{ '<think>' if thinking else '<think></think> ' }}{% endif %}"
        monkeypatch.setattr(tokenizer, "chat_template", tokenizer.chat_template + thinking)
        for template, begun in (({}, ""), ({"thinking": True}, "<think>"), ({"thinking": False}, "<think></think> ")):
            ids = encode_prompt(tokenizer, self.MESSAGES[1:], "m", template)
            assert tokenizer.decode(ids) == f"<|user|>3 + 4 =<|assistant|>{begun}"
            assert template_prefix(tokenizer, ids) == begun
        about_tags = [{"role": "user", "content": "What closes <think>"}]
        assert template_prefix(tokenizer, encode_prompt(tokenizer, about_tags, "m")) == ""


@pytest.mark.parametrize(
    ("configured", "expected"),
    [([7, 8, 9], {7, 8, 9, 2}), (7, {7, 2}), (None, {2}), ([2], {2})],
)
def test_every_token_that_ends_a_completion(configured, expected, tmp_path):
    """Llama 3 and Gemma name several in generation_config.json, and the tokenizer another."""
    config, tokenizer = GenerationConfig(eos_token_id=configured), SimpleNamespace(eos_token_id=2)
    assert eos_ids(SimpleNamespace(generation_config=config), tokenizer) == expected
    config.save_pretrained(tmp_path)
    assert eos_ids_of(str(tmp_path), None, tokenizer) == expected
    assert eos_ids_of(str(tmp_path / "none"), None, tokenizer) == {2}


def test_code_that_a_model_brings_along_is_not_run(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    brought = {"AutoConfig": "brought.Config", "AutoModelForCausalLM": "brought.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "brought", "auto_map": brought}))
    (tmp_path / "brought.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close()\n")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(tmp_path))
    assert not (tmp_path / "was_run").exists()
