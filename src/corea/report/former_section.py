"""What has changed since a former report, as terminal and report.html show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

import pandas as pd
from rich import box
from rich.table import Table

from corea.report.html_parts import html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerRow:
    """One figure of one dataset, as text."""

    dataset: str
    figure: str
    former: str
    now: str
    change: str = ""
    interval: str = ""
    kind: str = ""
    """paired, independent, or "" without an interval."""
    excludes_zero: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerSection:
    """The present results against those of a former report."""

    name: str
    """The former report: the last two parts of its path."""
    words: list[str]
    """Which intervals these are, and what could not be compared."""
    rows: list[FormerRow]
    table: pd.DataFrame = field(repr=False)
    """former.csv: dataset, figure, former, now, change, low, high, interval."""

    def of(self, dataset: str) -> list[FormerRow]:
        """The rows of one dataset."""
        return [row for row in self.rows if row.dataset == dataset]


HEAD = ("figure", "former report", "this report", "change", "interval")


def former_table(section: FormerSection, dataset: str) -> str:
    """HTML table of one dataset; a star marks an interval that excludes 0. "" without rows."""
    rows = []
    for row in section.of(dataset):
        kind = f" {row.kind}" if row.kind else ""
        ends = f"<span class=ci>({escape(row.interval)}{kind})</span>" if row.interval else "–"
        change = f"{escape(row.change) or '–'}{' *' if row.excludes_zero else ''}"
        cells = "".join(f"<td>{cell}</td>" for cell in (escape(row.former), escape(row.now), change, ends))
        rows.append(f"<tr><td>{escape(row.figure)}</td>{cells}</tr>")
    return html_table(HEAD, rows) if rows else ""


def former_summary(section: FormerSection, dataset: str) -> Table:
    """The rows of one dataset for the terminal."""
    table = Table(title=f"Against {section.name}: {dataset}", box=box.SIMPLE_HEAD, title_justify="left")
    for number, title in enumerate(HEAD):
        table.add_column(title, justify="right" if number else "left")
    for row in section.of(dataset):
        ends = f"({row.interval}) {row.kind}" if row.interval else "–"
        star = " *" if row.excludes_zero else ""
        table.add_row(row.figure, row.former, row.now, f"{row.change or '–'}{star}", ends)
    return table
