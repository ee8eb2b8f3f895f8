"""Are the recorded verdicts right? What regrading changes: verdicts, accuracy, calibration, frontier.

The figures of a dataset are made twice on the same test questions, with the recorded verdicts and with ours; the
differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.answers.table import Answers
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.dataset import Evaluation
from corea.metrics.bootstrap import interval

Regrader = Callable[[pd.DataFrame, str], tuple[np.ndarray, np.ndarray]]
"""Frame and path of an answers table -> our verdicts [rows] (NaN: nothing to grade), graded answers [rows]."""
SHOWN = ("dataset", "question_id", "split", "tier", "model", "sample", "question", "gold")
MOVED = ("accuracy", "ece", "ece_equal_mass", "brier", "auroc", "aurc")


@dataclass(slots=True, kw_only=True)
class Audit:
    """What regrading found."""

    grader: str
    graded: int
    """Answers that were regraded."""
    disagreements: pd.DataFrame
    """One row an answer: SHOWN as far as the table has them, answer (as graded), recorded, regraded (bool), text."""
    evaluations: dict[str, Evaluation]
    """By dataset: our verdicts; its `before` are the recorded ones."""
    moves: pd.DataFrame
    """dataset, figure, recorded, regraded, change, low, high."""


def regraded(answers: Answers, regrade: Regrader) -> tuple[Answers, pd.DataFrame]:
    """The table with our verdicts, and the answers on which they differ from the recorded ones."""
    frame = answers.frame
    verdicts, given = regrade(frame, answers.path)
    recorded = frame["correct"].to_numpy()
    ours = np.where(np.isnan(verdicts), recorded, verdicts)
    differ = ours != recorded
    listed = frame.loc[differ, [c for c in SHOWN if c in frame]].astype(object)  # plain values for CSV and W&B
    listed["answer"] = given[differ]
    listed["recorded"], listed["regraded"] = recorded[differ] == 1, ours[differ] == 1
    if "text" in frame:
        listed["text"] = frame.loc[differ, "text"].astype(object)
    return replace(answers, frame=frame.assign(correct=ours)), listed.reset_index(drop=True)


def moves(name: str, e: Evaluation, recorded: Pairs, cfg: CascadeConfig) -> pd.DataFrame:
    """How far the figures of one dataset move from the recorded verdicts to ours."""
    assert e.before is not None, "evaluated with both verdicts"
    assert e.test is not None, "evaluated with both verdicts"
    rows = [
        (f"SLM {key}", e.before.figures[key].value, e.small.figures[key].value, e.change[key].low, e.change[key].high)
        for key in MOVED
    ]
    old, new = recorded.llm_correct.astype(float), e.test.llm_correct.astype(float)
    rows.append(("LLM accuracy", old.mean(), new.mean(), *_mean_interval(new - old, cfg)))
    height = frontier_move(e)
    rows.append(("frontier, mean height", height[0], height[1], np.nan, np.nan))
    table = pd.DataFrame(rows, columns=["figure", "recorded", "regraded", "low", "high"])
    table.insert(0, "dataset", name)
    table.insert(4, "change", table["regraded"] - table["recorded"])
    return table


def frontier_move(e: Evaluation) -> tuple[float, float]:
    """Mean accuracy of the cascade over the deferral rate, by the recorded verdicts and by ours."""
    assert e.before_sweep is not None
    heights = []
    for sweep in (e.before_sweep, e.sweep):
        rate, accuracy = sweep["deferral_rate"].to_numpy(), sweep["accuracy"].to_numpy()
        heights.append(float(np.trapezoid(accuracy, rate) / max(rate[-1] - rate[0], 1e-12)))
    return heights[0], heights[1]


def _mean_interval(difference: np.ndarray, cfg: CascadeConfig) -> tuple[float, float]:
    """Bootstrap interval of a mean difference in {-1, 0, 1}: the counts of each are multinomial."""
    n = max(len(difference), 1)
    share = [(difference == v).sum() / n for v in (-1, 0, 1)]
    drawn = np.random.default_rng(cfg.seed).multinomial(n, share, size=max(cfg.resamples, 1))
    low, high = interval((drawn[:, 2] - drawn[:, 0]) / n, cfg.level)
    return float(low), float(high)


def sentence(audit: Audit) -> str:
    """The result in words."""
    wrong = audit.disagreements
    if not len(wrong):
        return f"All {audit.graded:,} recorded verdicts agree with the grader {audit.grader}."
    up, down = int(wrong["regraded"].sum()), int(wrong["recorded"].sum())
    return (
        f"{len(wrong):,} of {audit.graded:,} recorded verdicts disagree with the grader {audit.grader}: {up:,} answers "
        f"recorded as wrong are right, {down:,} recorded as right are wrong."
    )
