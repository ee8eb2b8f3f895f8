"""Engines: whatever answers prompts. corea.types.Engine is the contract of all, TrainingEngine that of training."""

from corea.engines.protocols import PaidEngine, TrainingEngine, TrainingEngineFactory

__all__ = ["PaidEngine", "TrainingEngine", "TrainingEngineFactory"]
