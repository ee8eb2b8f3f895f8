"""Schema of what a server records, watches and learns from: the part of `serve` about log, shadow and drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from corea.config.checks import above, at_least, check, checked, one_of, require, within

ON_DRIFT = ("alarm", "llm")


@dataclass
class ServeWatchConfig:
    """Served log, shadowed questions and drift of a server."""

    log_folder: Optional[str] = None
    """Folder of the served log, which `corea.evaluate answers=FOLDER` reads; null: no log."""
    log_part_rows: int = checked(10_000, at_least(1))
    """Requests after which a worker closes a Parquet part of the served log."""
    log_part_minutes: float = checked(60.0, above(0))
    """Minutes after which a worker closes a part that holds fewer requests."""
    shadow_share: float = checked(0.0, within(0, 1))
    """Share of the kept questions that are also sent to the last tier, in the background. Without any, a served log
    cannot be evaluated."""
    shadow_seed: int = 0
    """Seed of the choice: the same seed and request id give the same choice."""
    shadow_per_minute: Optional[float] = checked(60.0, above(0))
    """Most shadowed questions per minute, all workers together; null: no limit."""
    shadow_usd: Optional[float] = checked(None, at_least(0))
    """Most dollars that shadowed questions may cost in one log folder, all workers together; null: no limit."""
    drift_false_alarm: float = checked(0.01, within(0, 0.5))
    """Probability that a server whose questions do not change ever raises a drift alarm; 0: do not watch for drift."""
    on_drift: str = checked("alarm", one_of(*ON_DRIFT))
    """After a drift alarm: alarm (metric, log line, /health), or llm (also send every question to the last tier until
    the file drift_alarm.json is removed from the log folder)."""

    def __post_init__(self) -> None:
        check(self, "serve")
        logged = self.shadow_share == 0 or self.log_folder is not None
        require(logged, "serve.shadow_share", self.shadow_share, "0, or a share together with serve.log_folder=FOLDER")
