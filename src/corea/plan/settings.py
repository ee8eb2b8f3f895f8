"""From the configuration to what memory and time depend on. Reads the model's configuration, never its weights."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from corea.config import EngineConfig, HFEngineConfig, ModelConfig, PlanConfig, VLLMEngineConfig, VLLMServerEngineConfig
from corea.config.engine_schema import AutoEngineConfig
from corea.config.messages import did_you_mean
from corea.errors import UserError
from corea.gpus import GPUS, Gpu
from corea.model_shape import SHAPES, ModelShape, shape_of
from corea.plan.memory_parts import Setting

PACKAGE = "package:"


def model_shape(cfg: ModelConfig) -> ModelShape:
    """The shape of the configured model: from its config.json, or from the table of the models in conf/.

    Raises:
        UserError: it is neither a local folder, nor in the table, nor in the cache of the hub.
    """
    folder = Path(cfg.path).expanduser()
    if cfg.path.startswith(PACKAGE):
        folder = Path(str(resources.files("corea"))) / "models" / cfg.path.removeprefix(PACKAGE)
    if not folder.is_dir() and cfg.path in SHAPES:
        return SHAPES[cfg.path]
    from transformers import AutoConfig  # takes a second

    where = str(folder) if folder.is_dir() else cfg.path
    try:
        config = AutoConfig.from_pretrained(where, revision=cfg.revision, local_files_only=True)
        return shape_of(config)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"model.path={cfg.path}: its sizes are unknown; allowed is the folder of a decoder with its config.json, "
            f"or the path of a model in conf/model{did_you_mean(cfg.path, SHAPES)}"
        ) from error


def resolved_engine(cfg: PlanConfig) -> EngineConfig:
    """The engine; `auto` is vLLM on a GPU."""
    if isinstance(cfg.engine, AutoEngineConfig):
        return HFEngineConfig() if cfg.gpu == "cpu" else VLLMEngineConfig()
    return cfg.engine


def gpu_of(cfg: PlanConfig) -> Gpu | None:
    """The GPU with the configured changes; None for a CPU."""
    return GPUS.get(cfg.gpu)


def memory_bytes(cfg: PlanConfig) -> float | None:
    """Memory of a GPU in bytes; None where it is unknown."""
    gpu = gpu_of(cfg)
    gigabytes = cfg.plan.memory_gb or (gpu.memory_gb if gpu else None)
    return None if gigabytes is None else gigabytes * 1e9


def item_bytes(cfg: PlanConfig) -> int:
    """Bytes of a weight; `auto` is bfloat16 on a GPU."""
    dtype = cfg.model.dtype
    return 4 if dtype == "float32" or (dtype == "auto" and cfg.gpu == "cpu") else 2


def setting_of(cfg: PlanConfig, shape: ModelShape) -> Setting:
    """What the memory and the time of a step of `cfg` depend on."""
    trainer, engine = cfg.trainer, resolved_engine(cfg)
    name = engine.name
    rows, taken, sleeps = 0, 0.0, True
    if isinstance(engine, HFEngineConfig):
        rows = engine.batch_rows
    elif isinstance(engine, VLLMEngineConfig):
        rows, sleeps = engine.max_rows, engine.sleep
        taken = engine.gpu_share * (memory_bytes(cfg) or 0.0)
        if cfg.gpu == "cpu":
            taken = engine.cpu_cache_gib * 2.0**30 + shape.parameters * item_bytes(cfg) / engine.tensor_parallel
    return Setting(
        shape=shape,
        gpus=cfg.gpus,
        on_cpu=cfg.gpu == "cpu",
        item=item_bytes(cfg),
        stage=trainer.zero_stage,
        offload=trainer.offload,
        recompute=trainer.gradient_checkpointing,
        rank=trainer.lora.rank,
        reference=trainer.loss.kl > 0,
        budget=trainer.token_budget,
        trees=trainer.share_prompt,
        questions=trainer.questions,
        group=trainer.group_size,
        prompt=cfg.model.max_prompt_tokens,
        completion=cfg.model.max_tokens,
        engine=name,
        rows=rows,
        engine_bytes=taken,
        sleeps=sleeps,
    )


def server_gpus(cfg: PlanConfig) -> int:
    """GPUs beside those of the training: one for each server of engine=vllm_server."""
    engine = resolved_engine(cfg)
    if not isinstance(engine, VLLMServerEngineConfig):
        return 0
    return max(1, len(engine.base_urls))
