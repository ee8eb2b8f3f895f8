"""Builds the parts that watch a server: log, metrics, shadowing, drift, feedback.

watching = watch(cfg, point_file, points, workers=2, call_usd=0.01)
service = CascadeService(..., observers=watching.observers, shadow=watching.shadow, diverts=watching.diverts)
app.include_router(watching.metrics.router()), and watching.feedback if there is one (served_app.py)
watching.close()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from corea.cascade.live_point import LivePoint, PointFile
from corea.config.serve_watch_schema import ServeWatchConfig
from corea.serving.drift import Drift
from corea.serving.feedback import Feedback, feedback_router
from corea.serving.served_log import ServedLog
from corea.serving.served_metrics import ServedMetrics
from corea.serving.served_record import ServedRecord
from corea.serving.shadowing import Shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """The parts of one worker."""

    metrics: ServedMetrics
    drift: Drift
    log: ServedLog | None
    shadow: Shadow | None
    """None: nothing is shadowed."""
    repriced: bool = False
    """True: it is not known what is saved."""
    feedback: APIRouter | None
    """None: there is no served log."""

    @property
    def observers(self) -> tuple[Callable[[ServedRecord], None], ...]:
        """Receivers of each record."""
        parts = [part.observe for part in (self.shadow, self.drift, self.metrics) if part is not None]
        return (*parts, self._log) if self.log is not None else tuple(parts)

    def diverts(self) -> bool:
        """True while every question is to go to the last tier."""
        return self.drift.sends_all_to_llm

    def health(self) -> dict[str, Any]:
        """Fields for /health."""
        return {"drift": self.drift.state(), "log_lost": 0 if self.log is None else self.log.dropped}

    def close(self) -> None:
        """Turn the log's tail into a part."""
        if self.log is not None:
            self.log.close()

    def _log(self, record: ServedRecord) -> None:
        assert self.log is not None
        self.log.add(record)
        if self.log.dropped:
            self.metrics.set_lost(self.log.dropped)


def watch(
    cfg: ServeWatchConfig,
    file: PointFile,
    points: Mapping[str, LivePoint],
    *,
    workers: int = 1,
    call_usd: float = 0.0,
    repriced: bool = False,
    text: bool = False,
) -> Watching:
    """The parts of one worker of a server.

    Args:
        points: the points that the server applies, by any name.
        call_usd: most dollars that one call of the last tier may cost.
        repriced: prices are not those of the operating point, so it is not known what is saved.
        text: questions and answers may be logged.

    Raises:
        UserError: the log folder cannot be written.
    """
    by_name = {point.dataset: point for point in points.values()}
    own = list(by_name.values())
    log = None
    if cfg.log_folder is not None:
        log = ServedLog(cfg.log_folder, rows=cfg.log_part_rows, minutes=cfg.log_part_minutes, text=text)
        log.add_point(file.path, file.sha256)
    drift = Drift(cfg, own, workers=workers)
    return Watching(
        metrics=ServedMetrics(
            (tier for point in own for tier in point.chain),
            drift,
            lambda record: None if repriced else llm_alone_usd(record, by_name),
        ),
        drift=drift,
        repriced=repriced,
        log=log,
        shadow=Shadow(cfg, call_usd=call_usd, workers=workers) if cfg.shadow_share else None,
        feedback=None if log is None else feedback_router(Feedback(log.folder, text)),
    )


def llm_alone_usd(record: ServedRecord, points: Mapping[str, LivePoint]) -> float | None:
    """Dollars of a request if the last tier alone had answered it.

    Where that tier answered, its cost; else its mean cost on the operating point's test questions. None: that mean is
    not known.
    """
    point = points.get(record.dataset)
    if point is None or point.llm_cost_usd is None:
        return None
    for tier in record.tiers:
        if tier.tier == point.chain[-1] and not tier.error:
            return tier.cost_usd
    return point.llm_cost_usd
