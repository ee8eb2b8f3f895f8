"""The comparison in the terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from corea.comparing.comparison import Comparison
from corea.comparing.figure_text import difference_cell, difference_words, heading, mean_cell, table_words

WIDTH = 118
"""Width in characters if the output is not a terminal."""


def show_comparison(found: Comparison, console: Console | None = None) -> None:
    """Means, differences and notes, one table a dataset."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    for dataset in found.datasets:
        console.print(_means(found, dataset))
    console.print(f"[dim]{table_words(found)}[/]", highlight=False)
    if len(found.differences):
        for dataset in found.datasets:
            if (found.differences["dataset"] == dataset).any():
                console.print(_differences(found, dataset))
        console.print(f"[dim]{difference_words(found)}[/]", highlight=False)
    for note in found.notes:
        console.print(f"[dim]note: {note}[/]", highlight=False)


def _means(found: Comparison, dataset: str) -> Table:
    part = found.table[found.table["dataset"] == dataset]
    metrics = list(dict.fromkeys(part["metric"]))
    table = _table(dataset, metrics)
    for group in found.groups:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = ["\n".join(text for text in mean_cell(own.loc[metric]) if text) for metric in metrics]
        table.add_row(group.label, str(len(group.runs)), *cells)
    return table


def _differences(found: Comparison, dataset: str) -> Table:
    part = found.differences[found.differences["dataset"] == dataset]
    metrics = list(dict.fromkeys(part["metric"]))
    table = _table(f"{dataset}: difference from {found.reference.label}", metrics)
    for group in found.groups[1:]:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = [_cell(own.loc[metric]) if metric in own.index else "–" for metric in metrics]
        table.add_row(group.label, str(len(group.runs)), *cells)
    return table


def _cell(row: pd.Series) -> str:
    value, ends, excludes = difference_cell(row)
    shown = f"{value}{' *' if excludes else ''}"
    return f"{shown}\n{ends}" if ends else shown


def _table(title: str, metrics: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("group", overflow="fold")
    table.add_column("runs", justify="right")
    for metric in metrics:
        table.add_column(heading(metric).replace("/", "/\n").replace(", ", ",\n"), justify="right", no_wrap=True)
    return table
