"""Audit of the recorded verdicts: how regrading changes verdicts, accuracy, calibration and frontier.

The figures of a dataset are computed twice on the same test questions, with the recorded verdicts and with ours, and
differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs
from corea.answers.table import Answers
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.dataset import Evaluation
from corea.metrics.bootstrap import interval

if TYPE_CHECKING:
    from corea.evaluation.regrade import Regraded  # loads the graders

Regrader = Callable[[pd.DataFrame, str], "Regraded"]
"""Frame and path of an answers table -> our verdicts."""
SHOWN = ("dataset", "question_id", "split", "tier", "model", "sample", "question", "gold")
MOVED = ("accuracy", "ece", "ece_equal_mass", "brier", "auroc", "aurc")


@dataclass(slots=True, kw_only=True)
class Audit:
    """Results of regrading."""

    grader: str
    graded: int
    """Answers that were regraded."""
    findings: pd.DataFrame
    """One row per answer on which the verdicts differ or the grader gave none: the columns of SHOWN that the table
    has, answer (as graded), recorded (bool), regraded (bool, None without a verdict), outcome, note, text."""
    evaluations: dict[str, Evaluation]
    """By dataset: our verdicts; its `before` are the recorded ones."""
    moves: pd.DataFrame
    """dataset, figure, recorded, regraded, change, low, high."""

    @property
    def disagreements(self) -> pd.DataFrame:
        """The findings in which the grader gave another verdict than the recorded one."""
        return self.findings[self.findings["regraded"].notna()]

    @property
    def unjudged(self) -> pd.Series:
        """Outcome -> number of answers without a verdict of the grader: unreadable_gold, timeout, error."""
        return self.findings.loc[self.findings["regraded"].isna(), "outcome"].value_counts()


def regraded(answers: Answers, regrade: Regrader) -> tuple[Answers, pd.DataFrame]:
    """The table with our verdicts, and the findings of the audit. Without our verdict the recorded one stays."""
    frame, fit = answers.frame, answers.fit
    found = regrade(frame, answers.path)
    recorded = frame["correct"].to_numpy()
    ours = _ours(frame, found.verdicts)
    if fit is not None:
        fit = fit.assign(correct=_ours(fit, regrade(fit, answers.path).verdicts))
    unjudged = np.isnan(found.verdicts) & (found.outcomes != "")
    listed = (ours != recorded) | unjudged
    table = frame.loc[listed, [c for c in SHOWN if c in frame]].astype(object)  # plain values for CSV and W&B
    table["answer"] = found.answers[listed]
    table["recorded"] = recorded[listed] == 1
    table["regraded"] = np.where(unjudged, None, (ours == 1).astype(object))[listed]
    table["outcome"], table["note"] = found.outcomes[listed], found.notes[listed]
    if "text" in frame:
        table["text"] = frame.loc[listed, "text"].astype(object)
    return replace(answers, frame=frame.assign(correct=ours), fit=fit), table.reset_index(drop=True)


def _ours(frame: pd.DataFrame, verdicts: np.ndarray) -> np.ndarray:
    """[rows] our verdict, 1 or 0; the recorded one where we have none (NaN)."""
    return np.where(np.isnan(verdicts), frame["correct"].to_numpy(), verdicts)


def moves(name: str, e: Evaluation, recorded: Pairs, cfg: CascadeConfig) -> pd.DataFrame:
    """Change of the figures of one dataset from the recorded verdicts to ours."""
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
    """Bootstrap interval of the mean of values in {-1, 0, 1}, whose counts are multinomial."""
    n = max(len(difference), 1)
    share = [(difference == v).sum() / n for v in (-1, 0, 1)]
    drawn = np.random.default_rng(cfg.seed).multinomial(n, share, size=max(cfg.resamples, 1))
    low, high = interval((drawn[:, 2] - drawn[:, 0]) / n, cfg.level)
    return float(low), float(high)


NO_VERDICT = {
    "unreadable_gold": "have a gold answer that the grader cannot read",
    "timeout": "took the grader too long",
    "error": "made the grader fail",
}
"""Outcome without a verdict, in words."""


def sentence(audit: Audit) -> str:
    """The result in words: disagreements, then what the grader could not judge."""
    wrong, unjudged = audit.disagreements, audit.unjudged
    judged = audit.graded - int(unjudged.sum())
    if len(wrong):
        up, down = int(wrong["regraded"].sum()), int(wrong["recorded"].sum())
        text = (
            f"{len(wrong):,} of {judged:,} recorded verdicts disagree with the grader {audit.grader}: {up:,} answers "
            f"recorded as wrong are right, {down:,} recorded as right are wrong."
        )
    else:
        text = f"All {judged:,} recorded verdicts agree with the grader {audit.grader}."
    parts = [f"{int(number):,} {NO_VERDICT.get(str(outcome), outcome)}" for outcome, number in unjudged.items()]
    return f"{text} Not judged: {', '.join(parts)}; the recorded verdicts stay." if parts else text
