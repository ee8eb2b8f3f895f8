"""Write the results of an evaluation: files, plots, report; and log them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corea.config.roots import EvaluateConfig
from corea.evaluation.dataset import Evaluation
from corea.evaluation.price_sensitivity import sensitivity
from corea.evaluation.results import Results
from corea.evaluation.served_log_point import results_folder
from corea.evaluation.signal_comparison import signals_frame
from corea.logger import Logger
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report.former_section import FormerSection
from corea.report.html_report import write_report
from corea.report.plot_tables import cost_label, prepare_pareto, thin
from corea.report.result_files import frontier, write_files
from corea.runtime import atomic_write


@dataclass(slots=True, kw_only=True)
class Outputs:
    """Paths of the written files."""

    files: list[Path]
    """metrics.json, frontier.csv, operating_point.json, ..."""
    plots: list[Path]
    """PNG files; each has an SVG beside it."""
    report: Path | None


def write_outputs(results: Results, cfg: EvaluateConfig, former: FormerSection | None = None) -> Outputs:
    """Write all files of the evaluation to its folder; `former` is what has changed since a former report."""
    folder = results_folder(cfg)
    files = write_files(results, folder)
    if former is not None:
        with atomic_write(folder / "former.csv") as temporary:
            former.table.to_csv(temporary, index=False)
        files.append(folder / "former.csv")
    plots: list[Path] = []
    if cfg.plots:
        from corea.report.plots import plot_all  # matplotlib is slow to import

        plots = plot_all(results, folder / "plots")
    report = write_report(results, folder / "report.html", former) if cfg.report else None
    return Outputs(files=files, plots=plots, report=report)


def log_results(results: Results, outputs: Outputs, logger: Logger) -> None:
    """Log all figures, tables, the curve over the deferral rate, images and the report."""
    logger.summary(flat_figures(results))
    for percent, row in enumerate(curve_rows(results)):
        logger.log(row, step=percent, axis="cascade/deferral_percent")
    for name, e in results.everything.items():
        if e.large["cost"].value > 0:
            title = f"pass@1 over cost: {name}"
            logger.lines(f"cascade/{name}/accuracy_over_cost", cost_lines(e), title, cost_label(e))
    logger.table("cascade/frontier", frontier_table(results))
    logger.table("cascade/rules", rules_frame(results))
    logger.table("cascade/metrics", metrics_frame(results))
    for name, frame in comparison_tables(results).items():
        logger.table(f"cascade/{name}", frame)
    for path in outputs.plots:
        logger.image(f"cascade/{path.stem}", path)
    if outputs.report is not None:
        logger.html("cascade/report", outputs.report)


def comparison_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Signals, chains of tiers, prices and the label audit, each if there is one."""
    found: dict[str, pd.DataFrame] = {}
    if results.signals:
        found["signals"] = signals_frame(results.signals)
    if results.tiers:
        parts = [t.frontier.assign(dataset=name) for name, t in results.tiers.items()]
        found["tiers"] = pd.concat(parts, ignore_index=True).astype({"thresholds": str})
    rule = results.cfg.rule
    parts = [sensitivity(e, e.point(rule)).assign(dataset=name) for name, e in results.everything.items()]
    if any(map(len, parts)):
        found["prices"] = pd.concat(parts, ignore_index=True)
    if results.audit is not None:
        found["audit_moves"] = results.audit.moves
        if len(results.audit.findings):
            found["audit"] = results.audit.findings.astype({"tier": int, "regraded": str})
    return found


def flat_figures(results: Results) -> dict[str, float]:
    """{"in_domain/slm/ece": 0.03, "in_domain/llm_accuracy/cost_change": -0.3, ...}; undefined figures are left out."""
    flat: dict[str, float] = {}
    for name, e in results.everything.items():
        parts: dict[str, dict[str, Figure]] = {"slm": e.small.figures, "llm": e.large, "areas": e.areas}
        if e.before is not None:
            parts |= {"slm_before": e.before.figures, "change": e.change}
        for point in e.points:
            own = point.chosen_on == name
            parts[point.choice.rule if own else f"{point.choice.rule}_of_{point.chosen_on}"] = point.figures
        chain = results.chain(name)
        if chain is not None:
            parts["chain"] = chain.figures
        for part, figures in parts.items():
            flat |= {f"{name}/{part}/{key}": f.value for key, f in figures.items() if f.value == f.value}
        for point in e.points:
            if point.chosen_on == name and point.choice.threshold is not None:
                flat[f"{name}/{point.choice.rule}/threshold"] = point.choice.threshold
    return flat


def curve_rows(results: Results) -> list[dict[str, float]]:
    """Accuracy and cost of every dataset at 0, 1, ..., 100 % deferral, linear between thresholds."""
    rows: list[dict[str, float]] = [{} for _ in range(101)]
    for name, e in results.everything.items():
        for label, sweep in (("", e.sweep), ("_before", e.before_sweep)):
            if sweep is None:
                continue
            for key in ("accuracy", "cost"):
                values = np.interp(np.arange(101) / 100, sweep["deferral_rate"], sweep[key])
                unit = f"_{e.unit}" if key == "cost" else ""
                for row, value in zip(rows, values, strict=True):
                    row[f"cascade/{name}/{key}{unit}{label}"] = float(value)
    return rows


LINES = {"cascade": "cascade", "before": "cascade before RL", "random": "random deferral", "oracle": "oracle"}
"""Series of prepare_pareto -> their names in the chart."""


def cost_lines(e: Evaluation) -> pd.DataFrame:
    """pass@1 over cost, columns line, x, y: the cascade at every threshold, random deferral, the oracle, and each
    model alone as a horizontal line up to the LLM's cost."""
    table = prepare_pareto(e).assign(x=lambda t: t["cost_percent"])
    parts = [
        thin(table[table["series"] == series].sort_values("x", kind="stable")).assign(line=line)
        for series, line in LINES.items()
        if (table["series"] == series).any()
    ]
    slm, llm = (table[table["series"] == name].iloc[0] for name in ("slm", "llm"))
    for line, alone in (("SLM alone", slm), ("LLM alone", llm)):
        parts.append(pd.DataFrame({"line": line, "x": [slm["x"], llm["x"]], "accuracy": alone["accuracy"]}))
    return pd.concat(parts, ignore_index=True).rename(columns={"accuracy": "y"})[["line", "x", "y"]]


def frontier_table(results: Results) -> pd.DataFrame:
    """frontier.csv of every dataset in one table."""
    return pd.concat([frontier(e).assign(dataset=name) for name, e in results.everything.items()], ignore_index=True)


def rules_frame(results: Results) -> pd.DataFrame:
    """One row per dataset and rule: threshold, and each figure with its interval."""
    rows = []
    for name, e in results.everything.items():
        for point in e.points:
            row: dict[str, Any] = {"dataset": name, "rule": point.choice.rule, "chosen_on": point.chosen_on}
            row["threshold"] = point.choice.threshold
            rows.append(row | _wide(point.figures, e))
    return pd.DataFrame(rows)


def metrics_frame(results: Results) -> pd.DataFrame:
    """One row per dataset and system (slm, slm_before, llm): each figure with its interval."""
    rows = []
    for name, e in results.everything.items():
        systems = {"slm": e.small.figures, "llm": e.large}
        if e.before is not None:
            systems["slm_before"] = e.before.figures
        rows += [{"dataset": name, "system": s, **_wide(f, e)} for s, f in systems.items()]
    return pd.DataFrame(rows)


def _wide(figures: dict[str, Figure], e: Evaluation) -> dict[str, float]:
    """value, _lo and _hi of each figure."""
    wide: dict[str, float] = {}
    for key, f in figures.items():
        name = f"cost_{'usd' if e.unit == USD else e.unit}" if key == "cost" else key
        wide |= {name: f.value, f"{name}_lo": f.low, f"{name}_hi": f.high}
    return wide
