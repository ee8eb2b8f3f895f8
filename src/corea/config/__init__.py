"""Dataclass schemas and validation of every configuration group. Imports no torch."""

from corea.config.cascade_schema import CascadeConfig
from corea.config.data_schema import DataConfig, FamilyConfig, SourceConfig
from corea.config.engine_schema import (
    AutoEngineConfig,
    EngineConfig,
    HFEngineConfig,
    OpenAIEngineConfig,
    OwnEngineConfig,
    RecordedEngineConfig,
    ReplayEngineConfig,
    VLLMEngineConfig,
    VLLMServerEngineConfig,
)
from corea.config.live_schema import LivePolicyConfig, LiveTierConfig
from corea.config.logger_schema import LoggerConfig, NoLoggerConfig, WandbConfig
from corea.config.model_schema import ArchitectureConfig, LLMConfig, ModelConfig
from corea.config.plan_schema import PlanConfig, PlanOptionsConfig
from corea.config.price_schema import PriceConfig
from corea.config.publish_schema import PublishConfig
from corea.config.ray_schema import RayEngineConfig, RayTierConfig
from corea.config.reward_schema import RewardConfig
from corea.config.roots import AnswerConfig, CollectConfig, CompareConfig, EvaluateConfig, SftConfig, TrainConfig
from corea.config.serve_schema import ServeConfig, ServeOptionsConfig
from corea.config.trainer_schema import LoraConfig, LossConfig, OptimizerConfig, SupervisedConfig, TrainerConfig

__all__ = [
    "AnswerConfig",
    "ArchitectureConfig",
    "AutoEngineConfig",
    "CascadeConfig",
    "CollectConfig",
    "CompareConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluateConfig",
    "FamilyConfig",
    "HFEngineConfig",
    "LLMConfig",
    "LivePolicyConfig",
    "LiveTierConfig",
    "LoggerConfig",
    "LoraConfig",
    "LossConfig",
    "ModelConfig",
    "NoLoggerConfig",
    "OpenAIEngineConfig",
    "OptimizerConfig",
    "OwnEngineConfig",
    "PlanConfig",
    "PlanOptionsConfig",
    "PriceConfig",
    "PublishConfig",
    "RayEngineConfig",
    "RayTierConfig",
    "RecordedEngineConfig",
    "ReplayEngineConfig",
    "RewardConfig",
    "ServeConfig",
    "ServeOptionsConfig",
    "SftConfig",
    "SourceConfig",
    "SupervisedConfig",
    "TrainConfig",
    "TrainerConfig",
    "VLLMEngineConfig",
    "VLLMServerEngineConfig",
    "WandbConfig",
]
