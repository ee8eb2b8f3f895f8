"""Engines answer prompts. All implement corea.types.Engine; those that train also implement TrainingEngine."""

from corea.engines.protocols import PaidEngine, TrainingEngine, TrainingEngineFactory

__all__ = ["PaidEngine", "TrainingEngine", "TrainingEngineFactory"]
