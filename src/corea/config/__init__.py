"""Dataclass schemas and validation of every configuration group. Imports no torch."""

from corea.config.cascade import CascadeConfig
from corea.config.data import DataConfig, FamilyConfig, SourceConfig
from corea.config.engine import (
    AutoEngineConfig,
    EngineConfig,
    HFEngineConfig,
    OpenAIEngineConfig,
    RecordedEngineConfig,
    ReplayEngineConfig,
    VLLMEngineConfig,
    VLLMServerEngineConfig,
)
from corea.config.logger import LoggerConfig, NoLoggerConfig, WandbConfig
from corea.config.model import ArchitectureConfig, LLMConfig, ModelConfig
from corea.config.price import PriceConfig
from corea.config.reward import RewardConfig
from corea.config.roots import CollectConfig, EvaluateConfig, SftConfig, TrainConfig
from corea.config.trainer import LoraConfig, LossConfig, OptimizerConfig, SupervisedConfig, TrainerConfig

__all__ = [
    "ArchitectureConfig",
    "AutoEngineConfig",
    "CascadeConfig",
    "CollectConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluateConfig",
    "FamilyConfig",
    "HFEngineConfig",
    "LLMConfig",
    "LoggerConfig",
    "LoraConfig",
    "LossConfig",
    "ModelConfig",
    "NoLoggerConfig",
    "OpenAIEngineConfig",
    "OptimizerConfig",
    "PriceConfig",
    "RecordedEngineConfig",
    "ReplayEngineConfig",
    "RewardConfig",
    "SftConfig",
    "SourceConfig",
    "SupervisedConfig",
    "TrainConfig",
    "TrainerConfig",
    "VLLMEngineConfig",
    "VLLMServerEngineConfig",
    "WandbConfig",
]
