"""Engines from their configuration."""

import pytest

from corea.composition import compose
from corea.config import AutoEngineConfig, HFEngineConfig
from corea.engines.build import build_engine, resolve_engine
from corea.engines.local.hf import HFEngine
from corea.types import Engine, Sampling
from random_models import random_model


def test_the_target_picks_the_class(tmp_path, tokenizer):
    random_model("llama", tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = build_engine(HFEngineConfig(batch_rows=3, device="cpu"), model=str(tmp_path), dtype="float32")
    assert isinstance(engine, HFEngine)
    assert isinstance(engine, Engine)
    assert (engine.batch_rows, engine.model_name) == (3, str(tmp_path))


def test_the_shipped_pair_answers():
    cfg = compose("collect")
    prompt = [{"role": "user", "content": "State the final answer to the following arithmetic problem: 4 + 3 + 1 ="}]
    for what, path in ((cfg.engine, cfg.model.path), (cfg.llm.engine, cfg.llm.model)):
        ((answer,),) = build_engine(what, model=path, dtype="float32").generate([prompt], Sampling(temperature=0))
        assert answer.finish_reason == "stop"
        assert "<answer>8</answer>" in answer.text


@pytest.mark.parametrize(
    ("installed", "gpu", "name"), [(True, True, "vllm"), (True, False, "hf"), (False, True, "hf"), (False, False, "hf")]
)
def test_auto_says_what_it_picks(installed, gpu, name, monkeypatch, caplog):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: object() if installed else None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    with caplog.at_level("INFO"):
        assert resolve_engine(AutoEngineConfig()).name == name
    assert f"engine=auto: {name} (" in caplog.text
    assert resolve_engine(same := HFEngineConfig()) is same
