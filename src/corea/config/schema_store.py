"""Registers the schemas with Hydra. Their names start with "_" and belong to no group, so that no list shows them.

A root file starts from its schema (`defaults: [_train, ...]`). Groups whose classes differ from choice to choice
(engine, llm.engine, logger) start from the schema of the choice: `defaults: [/_hf_engine@_here_]`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from corea.config import engine_schema, logger_schema, plan_schema, publish_schema, ray_schema, roots, serve_schema
from corea.config.checks import describing
from corea.config.deprecated import register_renaming_source

SCHEMAS = {
    "_train": roots.TrainConfig,
    "_sft": roots.SftConfig,
    "_collect": roots.CollectConfig,
    "_evaluate": roots.EvaluateConfig,
    "_compare": roots.CompareConfig,
    "_answer": roots.AnswerConfig,
    "_serve": serve_schema.ServeConfig,
    "_publish": publish_schema.PublishConfig,
    "_plan": plan_schema.PlanConfig,
    "_hf_engine": engine_schema.HFEngineConfig,
    "_auto_engine": engine_schema.AutoEngineConfig,
    "_vllm_engine": engine_schema.VLLMEngineConfig,
    "_vllm_server_engine": engine_schema.VLLMServerEngineConfig,
    "_openai_engine": engine_schema.OpenAIEngineConfig,
    "_own_engine": engine_schema.OwnEngineConfig,
    "_recorded_engine": engine_schema.RecordedEngineConfig,
    "_replay_engine": engine_schema.ReplayEngineConfig,
    "_ray_engine": ray_schema.RayEngineConfig,
    "_wandb_logger": logger_schema.WandbConfig,
    "_no_logger": logger_schema.NoLoggerConfig,
}
OF_CHOICES = {name for name in SCHEMAS if name.endswith(("_engine", "_logger"))}


def home(*candidates: str | None) -> str:
    """Resolver `corea.home`: the first candidate that exists (the folder of a file), else the last one unchanged.

    Collect and evaluate thus keep their logs beside their input, and a mistyped path creates no folder.
    """
    *places, fallback = candidates
    for place in places:
        if place and Path(place).exists():
            return str(Path(place) if Path(place).is_dir() else Path(place).parent)
    return str(fallback)


def compare_home(sweep: str | None, otherwise: str) -> str:
    """Resolver `corea.compare_home`: SWEEP/comparison for a sweep that exists, else `otherwise`."""
    return str(Path(sweep) / "comparison") if sweep and Path(sweep).is_dir() else otherwise


def answer_home(questions: str, operating_point: str, now: str) -> str:
    """Resolver `corea.answer_home`: a folder for these two files, so that the same command continues where it stopped;
    for standard input one named by the time."""
    if questions == "-":
        return f"outputs/answer/stdin_{now}"
    key = hashlib.sha256("\0".join(str(Path(p).absolute()) for p in (questions, operating_point)).encode()).hexdigest()
    return f"outputs/answer/{re.sub(r'[^A-Za-z0-9_-]+', '_', Path(questions).stem)}-{key[:8]}"


def serve_home(operating_point: str) -> str:
    """Resolver `corea.serve_home`: a folder for this operating point, so that a restarted server keeps its budget."""
    path = Path(operating_point).absolute()
    key = hashlib.sha256(str(path).encode()).hexdigest()
    return f"outputs/serve/{re.sub(r'[^A-Za-z0-9_-]+', '_', path.parent.name)}-{key[:8]}"


def register_schemas(verb: str) -> None:
    """Register the schemas that `verb` can use, resolvers and the reader of YAML files with Hydra.

    A second call changes nothing. The roots of other verbs are left out: to build all of them takes a tenth of a
    second.
    """
    OmegaConf.register_new_resolver("corea.home", home, replace=True)
    OmegaConf.register_new_resolver("corea.compare_home", compare_home, replace=True)
    OmegaConf.register_new_resolver("corea.answer_home", answer_home, replace=True)
    OmegaConf.register_new_resolver("corea.serve_home", serve_home, replace=True)
    register_renaming_source()
    store = ConfigStore.instance()
    # Hydra copies the store, with every schema in it, for each group of a help text. What it loads, it copies again.
    vars(store)["__deepcopy__"] = lambda memo: store
    with describing():
        for name, schema in SCHEMAS.items():
            wanted = name == f"_{verb}" or name in OF_CHOICES
            if wanted and f"{name}.yaml" not in store.repo:
                store.store(name=name, node=schema, provider="corea")
