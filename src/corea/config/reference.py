"""The configuration reference as a Markdown page, from the schemas: `python -m corea.config.reference > page.md`."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import ModuleType
from typing import Any

from corea.config import (
    cascade_schema,
    data_schema,
    engine_schema,
    live_schema,
    logger_schema,
    model_schema,
    plan_schema,
    price_schema,
    publish_schema,
    ray_schema,
    reward_schema,
    roots,
    serve_schema,
    trainer_schema,
    wide_schema,
)
from corea.config.checks import shown

INTRODUCTION = """# Configuration

Every key of every group, generated from the schemas that check them. `group=choice` picks a file of `conf/`,
`key=value` overrides one value, and `--cfg job --resolve` prints what a command would run with; see
[Commands and choices](commands.md). A default of ??? means that a value is required, from the choice of the group or
from you. Choices may set values that differ from these defaults; `--cfg job` shows them.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the page."""

    schema: type
    path: str
    """Key of the schema in a configuration; "" for the root of a verb."""
    title: str


def _section(schema: type, path: str, title: str = "") -> Section:
    return Section(schema, path, title or f"`{path}`")


SECTIONS = (
    _section(roots.TrainConfig, "", "`corea.train`"),
    _section(roots.SftConfig, "", "`corea.sft`"),
    _section(roots.CollectConfig, "", "`corea.collect`"),
    _section(roots.EvaluateConfig, "", "`corea.evaluate`"),
    _section(roots.CompareConfig, "", "`corea.compare`"),
    _section(roots.AnswerConfig, "", "`corea.answer`"),
    _section(publish_schema.PublishConfig, "", "`corea.publish`"),
    _section(serve_schema.ServeConfig, "", "`corea.serve`"),
    _section(plan_schema.PlanConfig, "", "`corea.plan`"),
    _section(plan_schema.PlanOptionsConfig, "plan"),
    _section(serve_schema.ServeOptionsConfig, "serve"),
    _section(live_schema.LiveTierConfig, "tiers.N", "`tiers.N` of `corea.answer` and `corea.serve`"),
    _section(live_schema.LivePolicyConfig, "answer"),
    _section(wide_schema.WideTierConfig, "tiers", "`tiers` of `corea.evaluate`"),
    _section(model_schema.ModelConfig, "model"),
    _section(model_schema.LLMConfig, "llm"),
    _section(price_schema.PriceConfig, "model.price", "`model.price` and `llm.price`"),
    _section(data_schema.DataConfig, "data"),
    _section(data_schema.FamilyConfig, "data.families.NAME"),
    _section(data_schema.SourceConfig, "data.families.NAME.sources"),
    _section(data_schema.GradingConfig, "data.grading"),
    _section(reward_schema.RewardConfig, "reward"),
    _section(reward_schema.ExtraRewardConfig, "reward.extra.NAME"),
    _section(trainer_schema.TrainerConfig, "trainer"),
    _section(trainer_schema.LossConfig, "trainer.loss"),
    _section(trainer_schema.OptimizerConfig, "trainer.optimizer", "`trainer.optimizer` and `sft.optimizer`"),
    _section(trainer_schema.LoraConfig, "trainer.lora"),
    _section(trainer_schema.SupervisedConfig, "sft"),
    _section(model_schema.ArchitectureConfig, "architecture"),
    _section(engine_schema.HFEngineConfig, "engine", "`engine=hf`"),
    _section(engine_schema.AutoEngineConfig, "engine", "`engine=auto`"),
    _section(engine_schema.VLLMEngineConfig, "engine", "`engine=vllm`"),
    _section(engine_schema.VLLMServerEngineConfig, "engine", "`engine=vllm_server`"),
    _section(engine_schema.OpenAIEngineConfig, "engine", "`engine=openai`"),
    _section(engine_schema.OwnEngineConfig, "engine", "`engine=own`"),
    _section(engine_schema.ReplayEngineConfig, "engine", "`engine=replay`"),
    _section(engine_schema.RecordedEngineConfig, "llm.engine", "`llm=replay`"),
    _section(ray_schema.RayEngineConfig, "engine", "`engine=ray`"),
    _section(ray_schema.RayTierConfig, "engine.tiers", "Actors of a tier: `engine.tiers=[{...}]`"),
    _section(cascade_schema.CascadeConfig, "cascade"),
    _section(logger_schema.WandbConfig, "logger", "`logger=wandb`"),
    _section(logger_schema.NoLoggerConfig, "logger", "`logger=none`"),
)


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(_table(section) for section in SECTIONS)])


def meaning(schema: type, name: str) -> str:
    """The docstring under a field, in one line; that of a parent class if the schema only changes the default."""
    for owner in schema.__mro__:
        found = _docstrings(owner).get(name) if is_dataclass(owner) else None
        if found:
            return found
    return ""


@cache
def _docstrings(schema: type) -> dict[str, str]:
    """Field -> the string literal under it, of the fields that the class itself declares."""
    module = ast.parse(inspect.getsource(_module(schema)))
    (body,) = (node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == schema.__name__)
    found = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            value = following.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[node.target.id] = " ".join(value.value.split())
    return found


def _module(schema: type) -> ModuleType:
    return sys.modules[schema.__module__]


def _table(section: Section) -> str:
    about = inspect.cleandoc(section.schema.__doc__ or "")
    lines = [
        f"## {section.title}",
        "",
        about,
        "",
        "| key | type | default | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *_rows(section), ""])


def _rows(section: Section) -> Iterator[str]:
    for field in fields(section.schema):
        key = f"{section.path}.{field.name}" if section.path else field.name
        cells = (f"`{key}`", _type(field), _default(field), _allowed(field), meaning(section.schema, field.name))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(field: Field[Any]) -> str:
    """The annotation in words: `Optional[float]` is "float or null", a schema is a "mapping"."""
    name = re.sub(r"\w+Config", "mapping", str(field.type))
    if name.startswith("Optional["):
        return f"{name.removeprefix('Optional[').removesuffix(']')} or null"
    return name.replace("Optional[str]", "str or null")


def _default(field: Field[Any]) -> str:
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if is_dataclass(value):
        return "see its section"
    if isinstance(value, dict) and value and all(key == item for key, item in value.items()):
        return "each column by its own name"
    text = shown(value) or '""'
    return f"`{text}`"


def _allowed(field: Field[Any]) -> str:
    if field.metadata.get("exists"):
        return "an existing file or folder"
    allowed = field.metadata.get("allowed")
    if allowed is None:
        return "true, false" if field.type == "bool" else ""
    return f"each: {allowed.words}" if field.metadata["each"] else allowed.words


if __name__ == "__main__":
    print(page())
