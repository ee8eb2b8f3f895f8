"""The comparison in the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from corea.comparing.comparison import Comparison
from corea.comparing.figure_text import difference_cell, difference_words, heading, mean_cell, table_words

WIDTH = 118
"""Width in characters if the output is not a terminal."""
LABEL = 40
"""Most characters of a line of a group's name; a longer name takes several lines."""


def show_comparison(found: Comparison, console: Console | None = None) -> None:
    """Means, differences and notes, one table a dataset."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    for dataset in found.datasets:
        for table in _means(found, dataset, console.width):
            console.print(table)
    console.print(f"[dim]{table_words(found)}[/]", highlight=False)
    if len(found.differences):
        for dataset in found.datasets:
            if (found.differences["dataset"] == dataset).any():
                for table in _differences(found, dataset, console.width):
                    console.print(table)
        console.print(f"[dim]{difference_words(found)}[/]", highlight=False)
    for note in found.notes:
        console.print(f"[dim]note: {note}[/]", highlight=False)


def _means(found: Comparison, dataset: str, width: int) -> Iterator[Table]:
    part = found.table[found.table["dataset"] == dataset]
    metrics = list(dict.fromkeys(part["metric"]))
    rows = {}
    for group in found.groups:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = ["\n".join(text for text in mean_cell(own.loc[metric]) if text) for metric in metrics]
        rows[group.label, len(group.runs)] = cells
    return _tables(dataset, metrics, rows, width)


def _differences(found: Comparison, dataset: str, width: int) -> Iterator[Table]:
    part = found.differences[found.differences["dataset"] == dataset]
    metrics = list(dict.fromkeys(part["metric"]))
    rows = {}
    for group in found.groups[1:]:
        own = part[part["group"] == group.label].set_index("metric", drop=False)
        cells = [_cell(own.loc[metric]) if metric in own.index else "–" for metric in metrics]
        rows[group.label, len(group.runs)] = cells
    return _tables(f"{dataset}: difference from {found.reference.label}", metrics, rows, width)


def _cell(row: pd.Series) -> str:
    value, ends, excludes = difference_cell(row)
    shown = f"{value}{' *' if excludes else ''}"
    return f"{shown}\n{ends}" if ends else shown


def _tables(title: str, metrics: list[str], rows: dict[tuple[str, int], list[str]], width: int) -> Iterator[Table]:
    """One table, or several with a part of the metrics each where `width` characters do not hold them all."""
    headings = [heading(metric).replace("/", "/\n").replace(", ", ",\n") for metric in metrics]
    columns = [[top, *(cells[k] for cells in rows.values())] for k, top in enumerate(headings)]
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) + 3 for column in columns]
    label = min(max(cell_len(line) for name, _ in rows for line in name.split("\n")), LABEL)
    room = width - label - 11  # padding, the column of runs, edges and dividers
    start = 0
    for size in part_sizes(widths, room):
        table = Table(title=title if not start else f"{title}, continued", title_justify="left", title_style="bold",
                      box=box.SIMPLE_HEAD, padding=(0, 1))  # fmt: skip
        table.add_column("group", overflow="fold", min_width=label)
        table.add_column("runs", justify="right", no_wrap=True)
        for column in columns[start : start + size]:
            table.add_column(column[0], justify="right", no_wrap=True)
        for (name, runs), cells in rows.items():
            table.add_row(name, str(runs), *cells[start : start + size])
        yield table
        start += size


def part_sizes(widths: list[int], room: int) -> list[int]:
    """How many columns go into each table of at most `room` characters: few tables, of about equal size if that fits.

    A column that is too wide for any table has one of its own.
    """
    filled: list[int] = []
    free = -1
    for width in widths:
        if width <= free:
            filled[-1] += 1
        else:
            filled.append(1)
            free = room
        free -= width
    even = math.ceil(len(widths) / len(filled))
    starts = range(0, len(widths), even)
    fits = all(sum(widths[k : k + even]) <= room for k in starts)
    return [len(widths[k : k + even]) for k in starts] if fits else filled
