"""Figures of a comparison as text: value and interval, in the unit that suits the metric."""

from __future__ import annotations

import math

import pandas as pd

from corea.comparing.comparison import Comparison
from corea.report.sentences import MINUS

PERCENT = ("cost_change", "llm_spend")
POINTS = ("accuracy_change",)
"""Metrics that are shown in per cent, and in points of pass@1."""
DAGGER, DOUBLE_DAGGER = "†", "‡"
"""Marks of intervals over questions alone and, among differences, over seeds alone."""


def heading(metric: str) -> str:
    """Name of a metric with its unit."""
    last = metric.rpartition("/")[2]
    return f"{metric}, %" if last in PERCENT else f"{metric}, points" if last in POINTS else metric


def number(metric: str, value: float, signed: bool = False) -> str:
    """The value in the unit of `heading`; "–" if undefined."""
    if not math.isfinite(value):
        return "–"
    last = metric.rpartition("/")[2]
    plus = "+" if signed or last.endswith("_change") else ""
    if last in (*PERCENT, *POINTS):
        text = f"{100 * value:{plus}.1f}"
    elif value and abs(value) < 0.001 and not (signed and "cost" not in last):
        text = f"{value:{plus}.3g}"
    else:
        text = f"{value:{plus}.3f}" if abs(value) < 1000 else f"{value:{plus}.4g}"
    return text.replace("-", MINUS)


def span_text(metric: str, low: float, high: float, signed: bool = False) -> str:
    """ "0.61 to 0.67"; empty without an interval."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{number(metric, low, signed)} to {number(metric, high, signed)}"


def mean_cell(row: pd.Series) -> tuple[str, str]:
    """Mean and interval of a row of the table: over seeds, or of a single run over questions (DAGGER)."""
    metric = row["metric"]
    seeds = span_text(metric, row["seeds_lo"], row["seeds_hi"])
    questions = span_text(metric, row["questions_lo"], row["questions_hi"])
    ends = seeds or (f"{questions}{DAGGER}" if questions else "")
    return number(metric, row["mean"]), ends


def difference_cell(row: pd.Series) -> tuple[str, str, bool]:
    """Difference, its interval (over both, else one kind alone, marked), whether it excludes 0."""
    metric = row["metric"]
    for kind in ("both", "questions", "seeds"):
        low, high = row[f"{kind}_lo"], row[f"{kind}_hi"]
        text = span_text(metric, low, high, signed=True)
        if text:
            mark = {"both": "", "questions": DAGGER, "seeds": DOUBLE_DAGGER}[kind]
            return number(metric, row["difference"], signed=True), text + mark, bool(low > 0 or high < 0)
    return number(metric, row["difference"], signed=True), "", False


def table_words(found: Comparison) -> str:
    """Sources of variation that the intervals of the table include."""
    level = f"{100 * found.level:g} %"
    return (
        f"Mean over the runs of a group; with it the {level} interval of the mean over the seeds (Student t), which "
        f"does not include other test questions. {DAGGER} a single run: interval over questions, from its "
        "metrics.json; none is shown for seeds."
    )


def difference_words(found: Comparison) -> str:
    """Sources of variation that the intervals of the differences include."""
    level = f"{100 * found.level:g} %"
    return (
        f"Group minus {found.reference.label}; with it {level} intervals over seeds and questions. {DAGGER} over "
        f"questions alone (a single run on either side): {found.resamples:,} paired bootstrap resamples of the same "
        "test questions and of the calibration questions on which each rule chooses its threshold; ECE by the interval "
        f"of its change. {DOUBLE_DAGGER} over seeds alone. * the interval excludes 0; nothing is corrected for the "
        "number of comparisons. "
        "differences.csv has the intervals over questions, over seeds and over both, and p-values over questions with "
        "Holm's correction."
    )
