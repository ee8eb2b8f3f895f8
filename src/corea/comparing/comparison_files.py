"""Writes a comparison: CSV files, plots, the page; and logs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from corea.comparing.comparison import Comparison
from corea.comparing.comparison_page import write_page
from corea.config.roots import CompareConfig
from corea.logger import Logger
from corea.runtime import atomic_write


@dataclass(slots=True, kw_only=True)
class ComparisonFiles:
    """Paths of the written files."""

    tables: dict[str, Path]
    plots: list[Path]
    """PNG files; each has an SVG beside it."""
    page: Path | None


def tables_of(found: Comparison) -> dict[str, pd.DataFrame]:
    """Name of a file -> its table; empty tables are left out."""
    tables = {
        "comparison": found.table,
        "runs": found.runs,
        "differences": found.differences,
        "overlay": found.overlay,
        "curves": found.curves,
    }
    return {name: table for name, table in tables.items() if len(table)}


def write_comparison(found: Comparison, cfg: CompareConfig, folder: Path) -> ComparisonFiles:
    """Write NAME.csv of every table, plots/*.png and *.svg, and comparison.html."""
    paths = {}
    for name, table in tables_of(found).items():
        paths[name] = folder / f"{name}.csv"
        with atomic_write(paths[name]) as temporary:
            table.to_csv(temporary, index=False)
    plots: list[Path] = []
    if cfg.plots:
        from corea.comparing.overlay_plots import plot_comparison  # matplotlib is slow to import

        plots = plot_comparison(found, folder / "plots")
    page = write_page(found, folder / "comparison.html") if cfg.report else None
    return ComparisonFiles(tables=paths, plots=plots, page=page)


def log_comparison(found: Comparison, files: ComparisonFiles, logger: Logger) -> None:
    """Log the means, tables, overlays, plots and the page."""
    means = found.table.dropna(subset=["mean"])
    logger.summary({f"{row.dataset}/{row.group}/{row.metric}": row.mean for row in means.itertuples()})
    for name, table in tables_of(found).items():
        if name != "curves":
            logger.table(f"compare/{name}", table)
    for dataset, part in found.overlay.groupby("dataset", sort=False):
        lines = part[part["kind"] == "curve"].rename(columns={"group": "line", "cost_percent": "x", "accuracy": "y"})
        title = f"pass@1 over cost: {dataset}"
        logger.lines(f"compare/{dataset}/accuracy_over_cost", lines[["line", "x", "y"]], title, found.cost_label)
    for path in files.plots:
        logger.image(f"compare/{path.stem}", path)
    if files.page is not None:
        logger.html("compare/page", files.page)
