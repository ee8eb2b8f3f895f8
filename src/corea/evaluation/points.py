"""The cascade at the thresholds that the rules choose on the calibration questions, measured on the test questions.

With `cascade.intervals=both` an interval includes that other calibration questions give another threshold: the rule
chooses anew on each resample of the calibration questions, and that threshold is applied to a resample of the test
questions. A resample in which the rule finds no threshold counts as the LLM alone. With `test` the interval is that of
the chosen threshold, and only test questions are resampled.
Legend: R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from corea.cascade.rules import Choice, choose, chosen_thresholds
from corea.cascade.sweep import at_threshold, depth_of
from corea.config.cascade_schema import RULES, CascadeConfig
from corea.display import tick
from corea.metrics.bootstrap import Sample, resample
from corea.metrics.calibration import bin_edges
from corea.metrics.cascade_curve import Curve, curve
from corea.metrics.cascade_figures import point_figures
from corea.metrics.figures import Figure, figures_of
from corea.metrics.levels import Levels, coarsen


@dataclass(slots=True, kw_only=True)
class Pick:
    """The threshold of a rule, and those of the same rule on other calibration questions."""

    choice: Choice
    chosen_on: str
    """Dataset whose calibration split gave the threshold."""
    calibration_questions: int
    cost_change: float = float("nan")
    """Cost against the LLM alone on the calibration questions; NaN without a threshold or a cost."""
    drawn: np.ndarray | None = field(repr=False, default=None)
    """[R] threshold on each resample of the calibration questions, NaN where the rule finds none; None: only test
    questions are resampled."""


@dataclass(slots=True, kw_only=True)
class Point:
    """The cascade at one threshold, on the test questions."""

    pick: Pick
    figures: dict[str, Figure]
    """Those of `cascade_figures.point_figures`; empty if no threshold was found."""

    @property
    def choice(self) -> Choice:
        """The threshold and its origin."""
        return self.pick.choice

    @property
    def chosen_on(self) -> str:
        """Dataset whose calibration split gave the threshold."""
        return self.pick.chosen_on

    @property
    def costs_more(self) -> bool:
        """True if the cascade costs more than the LLM alone."""
        return bool(self.figures) and self.figures["cost_change"].value > 0

    @property
    def not_found(self) -> float:
        """Share of the resamples of the calibration questions in which the rule finds no threshold."""
        return 0.0 if self.pick.drawn is None or not len(self.pick.drawn) else float(np.isnan(self.pick.drawn).mean())


class Picker:
    """Rules on the calibration questions of one dataset, and on resamples of them."""

    def __init__(self, name: str, calibration: Levels | None, cfg: CascadeConfig) -> None:
        self.name, self.exact, self.cfg = name, calibration, cfg
        self.known = len(calibration) if calibration is not None else 0
        if cfg.intervals == "both" and self.known:
            assert calibration is not None
            edges = np.unique([*bin_edges(cfg.bins, cfg.ece_edges), *cfg.thresholds])
            self.coarse = coarsen(calibration, edges=edges)
            self.drawn = resample(self.coarse, cfg.resamples, cfg.seed + 1)  # not those of the test questions

    def pick(self, rule: str, explain: bool = True) -> Pick:
        """The threshold of one rule; `explain` as in `choose`."""
        choice = choose(rule, self.exact, self.cfg, explain)
        again = self.cfg.intervals == "both" and self.known and choice.threshold is not None and rule != "fixed"
        drawn = chosen_thresholds(rule, self.coarse, self.drawn, self.cfg) if again else None
        cost = self._cost_change(choice.threshold)
        return Pick(choice=choice, chosen_on=self.name, calibration_questions=self.known, cost_change=cost, drawn=drawn)

    def _cost_change(self, threshold: float | None) -> float:
        if self.exact is None or threshold is None:
            return float("nan")
        line = curve(self.exact.observed)
        here, llm = at_threshold(line, self.exact, threshold).cost, float(line.llm_cost)
        return float(here) / llm - 1 if llm > 0 else float("nan")

    def every_rule(self) -> list[Pick]:
        """One per rule, the configured one first."""
        picks = []
        for rule in sorted(RULES, key=lambda rule: rule != self.cfg.rule):
            picks.append(self.pick(rule))
            tick()
        return picks


def measured(pick: Pick, sample: Sample, lines: list[Curve], level: float) -> Point:
    """The test figures of a threshold; `lines` are the observed curve of `sample` and the resampled one."""
    if pick.choice.threshold is None:
        return Point(pick=pick, figures={})
    observed, drawn = observed_figures(pick, sample, lines[0]), drawn_figures(pick, sample, lines[1])
    figures = figures_of(observed, drawn, len(sample.exact), level)
    for figure in figures.values():  # the rule may choose otherwise on almost all resamples
        figure.low, figure.high = min(figure.low, figure.value), max(figure.high, figure.value)
    return Point(pick=pick, figures=figures)


def observed_figures(pick: Pick, sample: Sample, line: Curve) -> dict[str, np.ndarray]:
    """The figures of the test questions themselves, whose curve is `line`, at the chosen threshold."""
    assert pick.choice.threshold is not None
    return point_figures(at_threshold(line, sample.exact, pick.choice.threshold))


def drawn_figures(pick: Pick, sample: Sample, line: Curve) -> dict[str, np.ndarray]:
    """The figures [R] of the resampled test questions `line`, each at its own threshold."""
    return point_figures(_drawn(pick, sample, line))


def _drawn(pick: Pick, sample: Sample, line: Curve) -> Curve:
    """The resampled test questions, each at its own threshold."""
    assert pick.choice.threshold is not None
    if pick.drawn is None:
        return at_threshold(line, sample.coarse, pick.choice.threshold)
    none = np.isnan(pick.drawn)
    return line.each(depth_of(sample.coarse, np.where(none, 0.0, pick.drawn))).or_llm_alone(none)
