"""Schema of `engine=ray`: the tiers of corea.collect and corea.answer as pools of Ray actors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from corea.config.checks import at_least, check, checked, nested
from corea.config.engine_schema import EngineConfig
from corea.errors import UserError


@dataclass
class RayTierConfig:
    """The actors of one tier."""

    actors: int = checked(1, at_least(1))
    """Actors, each with an engine of its own."""
    cpus: float = checked(1.0, at_least(0))
    """Processors that an actor reserves; a fraction lets several share one."""
    gpus: float = checked(0.0, at_least(0))
    """GPUs that an actor reserves; Ray shows it only these."""

    def __post_init__(self) -> None:
        check(self, "engine.tiers")


@dataclass
class RayEngineConfig(EngineConfig):
    """The tiers as pools of actors on a Ray cluster, for corea.collect and corea.answer. Needs corea[ray]."""

    _target_: str = "corea.engines.build.refuse_ray"
    name: str = "ray"
    address: Optional[str] = None
    """Address of a running cluster: auto or HOST:PORT; null: that of RAY_ADDRESS, else this machine alone."""
    unit: int = checked(512, at_least(1))
    """Questions of a unit of work: one call of an engine, one file of results. A killed actor repeats at most one."""
    tiers: list[RayTierConfig] = field(default_factory=list)
    """Actors of each tier, smallest model first; tiers without an entry take the last one, e.g.
    tiers=[{actors: 8, gpus: 1}, {actors: 2, gpus: 1}]."""
    inner: EngineConfig = nested(EngineConfig)
    """Engine of the small model in corea.collect: engine@engine.inner=vllm. Larger tiers have their own (llm.engine);
    corea.answer takes those of the operating point."""

    def __post_init__(self) -> None:
        check(self, "engine")

    def require_tiers(self, there: int) -> None:
        """Raise UserError if engine.tiers has more entries than there are tiers."""
        if len(self.tiers) > there:
            raise UserError(f"engine.tiers: {len(self.tiers)} entries; allowed are up to {there}, one a tier")

    def tier(self, place: int) -> RayTierConfig:
        """The actors of the tier at `place` in the order of the tiers."""
        return self.tiers[min(place, len(self.tiers) - 1)] if self.tiers else RayTierConfig()
