"""Every file in conf/ and sweeps/ composes, and presets hold what their papers say."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException

from corea.composition import compose, conf_dir, with_trainer
from corea.config import (
    AnswerConfig,
    CollectConfig,
    CompareConfig,
    EvaluateConfig,
    PlanConfig,
    PublishConfig,
    ServeConfig,
    SftConfig,
    TrainConfig,
)
from corea.config.messages import hydra_line
from corea.config.schema_store import home
from corea.errors import UserError

VERBS = {
    "train": TrainConfig,
    "sft": SftConfig,
    "collect": CollectConfig,
    "evaluate": EvaluateConfig,
    "answer": AnswerConfig,
    "compare": CompareConfig,
    "serve": ServeConfig,
    "publish": PublishConfig,
    "plan": PlanConfig,
}
NEEDED = {
    "evaluate": ["answers=answers.parquet"],
    "answer": ["questions=questions.jsonl", "operating_point=operating_point.json"],
    "compare": ["runs=[outputs/a,outputs/b]"],
    "serve": ["operating_point=operating_point.json"],
    "publish": ["run=outputs/demo", "folder=outputs/model"],
}
GIVEN = {
    "engine=own": ["engine._target_=my_engine.py:MyEngine"],
    "llm=hf": ["llm.model=Qwen/Qwen2.5-7B-Instruct"],
    "llm=openai": ["llm.model=some-model"],
    "llm=vllm": ["llm.model=Qwen/Qwen2.5-7B-Instruct"],
    "data=file": ["data.path=questions.jsonl"],
    "data=lm_eval": ["data.path=lm_eval:gsm8k"],
    "llm=replay": ["llm.model=answers.parquet"],
}
TESTED = ("ood", "math500", "olympiadbench", "gpqa", "ood_math", "ood_nonmath", "lm_eval")
REFUSED = {"train": [f"data={name}" for name in TESTED]}
"""Data that is only tested on."""
FILES = sorted(p.relative_to(conf_dir()).with_suffix("") for p in conf_dir().rglob("*.yaml"))


def composed_with_needed(verb: str, *overrides: str):
    return compose(verb, *NEEDED.get(verb, []), *overrides)


def mistake(verb: str, *overrides: str) -> str:
    """The line that a user sees."""
    with pytest.raises((UserError, HydraException)) as caught:
        compose(verb, *overrides)
    error = caught.value
    return hydra_line(error, overrides) if isinstance(error, HydraException) else str(error)


def verbs_of(path: Path) -> list[str]:
    """The verbs that a file of conf/ belongs to: those whose root has its group; experiments name theirs."""
    group = path.parts[0]
    if group == "experiment":
        return re.findall(r"corea\.(\w+)", (conf_dir() / f"{path}.yaml").read_text())[:1]
    own = {verb: root for verb, root in VERBS.items() if verb != "plan"}  # its groups are those of train
    found = [verb for verb, root in own.items() if group in {f.name for f in fields(root)}]
    of_tiers = group == "engine" and path.name != "ray"  # corea.answer gives each tier its engine
    return [verb for verb in found if not (of_tiers and verb == "answer")]


def choices() -> set[tuple[str, str]]:
    """(verb, override) of every file in every verb that it belongs to."""
    found = []
    for path in FILES:
        if len(path.parts) == 1:
            found.append((str(path), ""))
        elif path.parts[0] == "hydra":
            found += [(verb, "") for verb in VERBS]  # every root starts from them
        elif path.parts[:2] == ("data", "family"):
            found += [(verb, f"+data/family@data.families.new={path.name}") for verb in verbs_of(path)]
        elif path.parts[:2] == ("data", "set"):
            found += [(verb, f"+data/set@data.families.set={path.name}") for verb in verbs_of(path)]
        else:
            found += [(verb, f"{path.parts[0]}={'/'.join(path.parts[1:])}") for verb in verbs_of(path)]
    return set(found)


def cases() -> list[tuple[str, list[str]]]:
    """Overrides that are composed together: of each group one file, since a composition takes a fifth of a second.
    Experiments, which choose several files themselves, and what is refused, stand alone."""
    found = []
    for verb in VERBS:
        groups: dict[str, list[str]] = {}
        for override in sorted(o for v, o in choices() if v == verb):
            if override.startswith("experiment=") or override in REFUSED.get(verb, ()):
                found.append((verb, [override]))
            else:
                groups.setdefault(override.split("=")[0], []).append(override)
        found += [(verb, [o for o in chosen if o]) for chosen in zip_longest(*groups.values())]
    return found


@pytest.mark.parametrize(("verb", "overrides"), cases(), ids=lambda v: v if isinstance(v, str) else " ".join(v))
def test_every_file_composes_in_every_verb_it_belongs_to(verb, overrides):
    if set(overrides) & set(REFUSED.get(verb, ())):
        given = (more for o in overrides for more in GIVEN.get(o, []))
        assert "at least one family to train on" in mistake(verb, *overrides, *given)
        return
    cfg = composed_with_needed(verb, *overrides, *(given for o in overrides for given in GIVEN.get(o, [])))
    assert isinstance(cfg, VERBS[verb])


def test_every_file_is_among_the_cases():
    assert {(verb, o) for verb, overrides in cases() for o in overrides} == {c for c in choices() if c[1]}


def test_every_file_belongs_to_a_verb():
    assert {p.parts[0] for p in FILES if len(p.parts) == 1} == set(VERBS)
    assert [str(p) for p in FILES if len(p.parts) > 1 and p.parts[0] != "hydra" and not verbs_of(p)] == []


def test_names_are_those_of_the_files():
    for path in FILES:
        content = yaml.safe_load((conf_dir() / f"{path}.yaml").read_text())
        if path.parts[0] in ("reward", "trainer", "cascade", "data") and len(path.parts) == 2:
            assert content["name"] == path.name, path


def test_rewards_are_those_of_their_papers():
    table = {
        name: (r.calib, r.distance, r.target)
        for name in (
            "corea",
            "rlvr",
            "brier",
            "rlcr",
            "l1_sample",
            "l2_group",
            "kl_group",
            "log_sample",
            "l1_group_loo",
        )
        for r in [compose("train", f"reward={name}").reward]
    }
    assert table["corea"] == (1.0, "l1", "group")
    assert table["rlvr"][0] == 0.0
    assert table["brier"] == table["rlcr"] == (1.0, "l2", "sample")
    assert table["l1_sample"] == (1.0, "l1", "sample")
    assert table["l2_group"] == (1.0, "l2", "group")
    assert table["kl_group"] == (1.0, "kl", "group")
    assert table["log_sample"] == (1.0, "log", "sample")
    assert table["l1_group_loo"] == (1.0, "l1", "group_loo")


def test_the_preset_at_the_papers_scale():
    cfg = compose("train", "experiment=paper_rlcc")
    t = cfg.trainer
    assert t.questions * t.group_size == 2048
    assert (t.group_size, t.temperature, t.advantage, t.loss.kl, t.minibatches, t.zero_stage) == (
        32, 0.7, "dr_grpo", 0.0, 1, 2,
    )  # fmt: skip
    assert 1e-6 <= t.optimizer.lr <= 5e-6
    assert 0.05 <= t.optimizer.warmup <= 0.2
    assert t.optimizer.max_grad_norm == 1.0
    assert (cfg.model.path, cfg.model.max_prompt_tokens, cfg.model.max_tokens) == (
        "Qwen/Qwen2.5-7B-Instruct", 1024, 4096,
    )  # fmt: skip
    assert (cfg.reward.distance, cfg.reward.target) == ("l1", "group")


@pytest.mark.parametrize(
    ("overrides", "trainer"),
    [
        ([], "tiny"),
        (["model=tiny"], "tiny"),
        (["model=qwen1.5b", "reward.calib=0.5"], "gpu"),
        (["model=qwen1.5b", "trainer=lora"], "lora"),
        (["experiment=paper_rlcc", "model=qwen3b"], "paper"),
    ],
)
def test_a_pretrained_model_does_not_get_the_tiny_models_trainer(overrides, trainer):
    assert compose("train", *overrides).trainer.name == trainer


def test_one_trainer_does_not_fit_tiny_and_pretrained_models():
    with pytest.raises(UserError, match=r"model=tiny,qwen3b: tiny and others need different trainers"):
        with_trainer("train", ["model=tiny,qwen3b"])
    for written in ("choice(tiny,qwen3b)", "glob(*)", "shuffle(qwen3b,tiny)"):
        with pytest.raises(UserError, match=rf"model={re.escape(written)}: tiny and others need different trainers"):
            with_trainer("train", [f"model={written}"])
    for written in ("qwen3b,llama1b", "choice(qwen3b,llama1b)", "glob(qwen*)", "sort(qwen3b)"):
        assert with_trainer("train", [f"model={written}"]) == [f"model={written}", "trainer=gpu"]
    assert with_trainer("train", ["model=glob(*,exclude=[q*,s*,l*,g*,tiny_llm])"])[1:] == []
    assert with_trainer("sft", ["model=qwen3b"]) == ["model=qwen3b"]


def test_an_engine_is_picked_per_tier():
    cfg = compose(
        "collect", "engine=replay", "engine.tiers=[a.jsonl]", "engine@llm.engine=hf", "llm.engine.batch_rows=8"
    )
    assert cfg.engine.tiers == ["a.jsonl"]
    assert cfg.llm.engine.batch_rows == 8


def test_logs_go_beside_what_is_read(tmp_path):
    table = tmp_path / "answers.parquet"
    table.touch()
    assert home(None, "elsewhere") == "elsewhere"
    assert home(str(table), "elsewhere") == str(tmp_path)
    assert home(str(tmp_path), str(table), "elsewhere") == str(tmp_path)
    assert home(str(tmp_path / "mistyped"), "elsewhere") == "elsewhere"
