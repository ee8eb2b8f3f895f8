"""corea in Python: an answers table in, results as pandas and plotly objects out.

    import corea
    results = corea.evaluate_table(table, split_fraction=0.5)
    results.threshold, results.curve, results.plot_curve()

The figures are those of `python -m corea.evaluate` on the same table. No torch, and no model runs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from corea.config import CascadeConfig, EvaluateConfig, PriceConfig
from corea.config.checks import require_keys
from corea.config.wide_schema import WideTierConfig
from corea.errors import UserError
from corea.evaluation import results as evaluated
from corea.evaluation.dataset import Evaluation
from corea.evaluation.operation import operating_point
from corea.evaluation.pipeline import run_evaluation
from corea.evaluation.signal_comparison import signals_frame
from corea.metrics.figures import Figure
from corea.report import html_tables, sentences, write_results
from corea.report.advice import advice
from corea.report.html_report import write_report
from corea.report.plot_tables import prepare_reliability
from corea.report.result_files import write_files

if TYPE_CHECKING:
    from plotly.graph_objects import Figure as PlotlyFigure

__all__ = ["Results", "evaluate_table"]

TABLE = "table"
"""Name of a table that comes from memory, in messages and in the report."""


@dataclass(frozen=True, slots=True)
class Results:
    """What an evaluation found. Figures come from the test questions, thresholds from the calibration questions."""

    details: evaluated.Results
    """Everything, as the report reads it; its layout may change between releases, that of this class does not."""

    @property
    def headline(self) -> str:
        """What the cascade saves and loses at the configured rule, in one sentence."""
        return sentences.headline(self.details)

    @property
    def advice(self) -> list[str]:
        """One line per dataset: which signal, rule and threshold to use, or that the large model alone is better."""
        return advice(self.details)

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before using a threshold, the most harmful first."""
        return [*sentences.warnings(self.details), *self.details.notes]

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets; the first one is reported first."""
        return list(self.details.datasets)

    @property
    def threshold(self) -> float | None:
        """Threshold of the rule for the first dataset; of a chain the first one. None: the rule found none."""
        found = self.operating_point["thresholds"]
        return found[0] if found else None

    @property
    def operating_point(self) -> dict[str, Any]:
        """What operating_point.json holds: thresholds per dataset, fitted maps, promises, expected figures."""
        return operating_point(self.details).to_json()

    @property
    def figures(self) -> pd.DataFrame:
        """Columns dataset, system (slm, slm_before, change, llm, areas), metric, value, low, high, n."""
        rows = []
        for name, e in self.details.everything.items():
            parts = {"slm": e.small.figures, "llm": e.large, "areas": e.areas, "change": e.change}
            parts["slm_before"] = e.before.figures if e.before is not None else {}
            rows += [_row(name, system, key, f) for system, part in parts.items() for key, f in part.items()]
        return pd.DataFrame(rows, columns=["dataset", "system", "metric", "value", "low", "high", "n"])

    @property
    def rules(self) -> pd.DataFrame:
        """One row per dataset and rule: threshold, and each figure of the cascade with columns _lo and _hi."""
        return write_results.rules_frame(self.details)

    @property
    def curve(self) -> pd.DataFrame:
        """One row per dataset and threshold, with the columns of frontier.csv: threshold, deferral_rate, accuracy,
        cost_usd, their intervals, on_frontier."""
        return write_results.frontier_table(self.details)

    @property
    def reliability(self) -> pd.DataFrame:
        """One row per dataset and confidence bin: lower, upper, n, confidence, accuracy, low, high, when."""
        parts = [prepare_reliability(e).assign(dataset=name) for name, e in self.details.everything.items()]
        return pd.concat(parts, ignore_index=True)

    @property
    def signals(self) -> pd.DataFrame:
        """One row per dataset and confidence signal, compared on the same questions; empty with a single signal."""
        return signals_frame(self.details.signals)

    @property
    def chains(self) -> pd.DataFrame:
        """With more than two tiers: cost and accuracy of every chain along its frontier; else empty."""
        return write_results.comparison_tables(self.details).get("tiers", pd.DataFrame())

    def plot_curve(self, dataset: str | None = None) -> PlotlyFigure:
        """pass@1 over cost at every threshold, of `dataset` or the first one."""
        from corea.report.plotly_figures import curve_figure

        return curve_figure(self._of(dataset))

    def plot_thresholds(self, dataset: str | None = None) -> PlotlyFigure:
        """Accuracy and deferral rate over the threshold, of `dataset` or the first one."""
        from corea.report.plotly_figures import threshold_figure

        return threshold_figure(self._of(dataset), self.details.cfg.rule)

    def plot_reliability(self, dataset: str | None = None) -> PlotlyFigure:
        """Share of right answers over the stated confidence, of `dataset` or the first one."""
        from corea.report.plotly_figures import reliability_figure

        return reliability_figure(self._of(dataset))

    def write(self, folder: str | Path) -> Path:
        """Write the files of corea.evaluate (metrics.json, frontier.csv, operating_point.json, report.html).

        Returns the path of the report.
        """
        write_files(self.details, Path(folder))
        return write_report(self.details, Path(folder) / "report.html")

    def _of(self, dataset: str | None) -> Evaluation:
        known = self.details.everything
        name = self.details.primary if dataset is None else dataset
        if name not in known:
            raise UserError(f"dataset={name}: allowed is {', '.join(known)}")
        return known[name]

    def __repr__(self) -> str:
        return "\n".join([f"corea.Results: {self.headline}", *(f"- {line}" for line in self.advice)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the advice, and a table of the rules for each dataset."""
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.advice)
        tables = "".join(
            f"<p><b>{escape(name)}</b>, {e.questions:,} test questions</p>{html_tables.rules_table(e)}"
            for name, e in self.details.datasets.items()
        )
        return f"<div><p>{escape(self.headline)}</p><ul>{lines}</ul>{tables}</div>"


def evaluate_table(
    table: pd.DataFrame | str | Path,
    *,
    before: pd.DataFrame | str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    tiers: Sequence[Mapping[str, str]] = (),
    confidence_scale: float = 1.0,
    rule: str = "llm_accuracy",
    **cascade: Any,
) -> Results:
    """Measure a cascade from recorded answers of a small and a large model.

    Args:
        table: one row per question and tier, with the columns question_id, tier and correct, for tier 0 also
            confidence, and cost_usd where known; or the path of such a file, or of one of another tool.
        before: answers of the small model before training, in the same form.
        columns: corea's column -> the table's, e.g. {"correct": "is_right"}.
        tiers: for a table with one row per question: the columns of each tier, smallest model first, e.g.
            [{"name": "small", "correct": "small_right", "confidence": "small_p"}, {"name": "large", ...}].
        confidence_scale: value of a confidence that means certain; 100 for percentages.
        rule: rule that chooses the threshold: llm_accuracy, max_drop, budget, guarantee or fixed.
        **cascade: any other key of the group `cascade`, e.g. split_fraction=0.5, signal="avg_prob", delta=0.01,
            resamples=200, or prices=[{"input": 0.1, "output": 0.4}, ...].

    Raises:
        UserError: a mistake in the table or in an argument: what, where, what is allowed.
    """
    require_keys("evaluate_table", cascade, {f.name: f for f in fields(CascadeConfig)}, "the keys")
    prices = [p if isinstance(p, PriceConfig) else _made(PriceConfig, p, "prices") for p in cascade.pop("prices", ())]
    with tempfile.TemporaryDirectory(prefix="corea-") as folder:
        cfg = EvaluateConfig(
            answers=_stored(table, Path(folder) / f"{TABLE}.parquet"),
            before=None if before is None else _stored(before, Path(folder) / "before.parquet"),
            columns={**dict(columns or {})},
            tiers=[_made(WideTierConfig, tier, "tiers") for tier in tiers],
            confidence_scale=confidence_scale,
            cascade=CascadeConfig(name=rule, rule=rule, prices=prices, **cascade),
        )
        try:
            found = run_evaluation(cfg)
        except UserError as error:
            raise UserError(_without(str(error), folder)) from None
        found.answers.path = _without(found.answers.path, folder)
        found.notes = [_without(note, folder) for note in found.notes]
    return Results(found)


def _made(schema: type, values: Mapping[str, Any], key: str) -> Any:
    """A schema from a mapping. Raises ValueError for a key that it does not have."""
    require_keys(key, values, {f.name: f for f in fields(schema)}, "the keys")
    return schema(**values)


def _stored(table: pd.DataFrame | str | Path, path: Path) -> str:
    """Path of the table's file: a table from memory is written to `path`."""
    if not isinstance(table, pd.DataFrame):
        return str(table)
    named = table.reset_index() if any(name is not None for name in table.index.names) else table
    try:
        pq.write_table(pa.Table.from_pandas(named, preserve_index=False), path)
    except (pa.ArrowException, TypeError, ValueError) as error:  # columns of mixed types, or two of the same name
        raise UserError(f"{path.stem}: {' '.join(str(error).split())}; a column holds values of one type") from error
    return str(path)


def _without(text: str, folder: str) -> str:
    """`text` with the names of our files instead of their paths."""
    return text.replace(f"{folder}/{TABLE}.parquet", TABLE).replace(f"{folder}/before.parquet", "before")


def _row(dataset: str, system: str, metric: str, figure: Figure) -> dict[str, Any]:
    values = {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
    return {"dataset": dataset, "system": system, "metric": metric, **values}
