"""Live bars, drawn by rich: on a terminal, or in the output of a notebook's cell."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from corea.display import Bar

PER_SECOND = 4
"""Drawings per second on a terminal."""
NOTEBOOK_S = 0.5
"""Seconds between two drawings in a notebook."""
BAR = 28
"""Characters of a bar; fewer in a narrow window."""


def build_live(form: str, console: Console | None) -> TerminalBars | NotebookBars:
    """The drawing of the form `rich` or `notebook`."""
    return NotebookBars() if form == "notebook" else TerminalBars(console or Console(force_terminal=True))


def shorten(text: str, width: int) -> str:
    """Drop figures at the end of `text` until it fits into `width` characters; two spaces separate them."""
    while len(text) > width and "  " in text:
        text = text.rpartition("  ")[0]
    return text


class _Facts:
    """The figures of a bar, as many as fit."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shorten(self.text, options.max_width), style="dim", no_wrap=True, overflow="ellipsis")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(8, options.max_width), min(len(self.text), options.max_width))


def drawing(bars: Iterable[Bar]) -> RenderableType:
    """One line per bar with its count, speed and time left; figures of its own stand below."""
    rows: list[RenderableType] = []
    for bar in bars:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(width=BAR)
        grid.add_column(no_wrap=True)
        grid.add_column()
        figures, bar_figures = bar.facts(), bar.figures
        times = figures.removeprefix(bar_figures).strip()
        shown = ProgressBar(total=max(bar.total, 1), completed=bar.done, width=BAR)
        grid.add_row(Text(bar.label), shown, Text(f"{bar.done:,}/{bar.total:,}", style="green"), _Facts(times))
        rows.append(grid)
        if bar_figures:
            rows.append(_Facts(f"  {bar_figures}"))
    return Group(*rows)


class TerminalBars:
    """Bars at the bottom of a terminal. What the command prints meanwhile, log lines included, appears above them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: list[Bar] = []
        self.live = Live(console=console, get_renderable=self._drawing, refresh_per_second=PER_SECOND, transient=True)
        self.handlers: list[logging.StreamHandler] = []

    def show(self, bars: list[Bar]) -> None:
        """The bars that are under way have changed; an empty list ends the drawing."""
        self.bars = list(bars)
        if bars and not self.live.is_started:
            self._start()
        elif not bars and self.live.is_started:
            self._stop()

    def counted(self) -> None:
        """Nothing: a thread of rich draws, PER_SECOND times a second."""

    def print(self, line: str) -> None:
        """Leave a line behind, above the bars."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _drawing(self) -> RenderableType:
        return drawing(self.bars)

    def _start(self) -> None:
        handlers = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is sys.stdout]
        self.live.start()
        for handler in handlers:  # log lines go through rich's stream, which prints above the bars
            handler.setStream(sys.stdout)  # type: ignore[attr-defined]
        self.handlers = handlers  # type: ignore[assignment]

    def _stop(self) -> None:
        self.live.stop()
        for handler in self.handlers:
            handler.setStream(sys.stdout)


class NotebookBars:
    """Bars in the output of a cell: one display that is replaced, so that no widget is needed."""

    def __init__(self) -> None:
        self.bars: list[Bar] = []
        self.handle: Any = None
        self.last = 0.0

    def show(self, bars: list[Bar]) -> None:
        """The bars that are under way have changed; an empty list ends the drawing."""
        self.bars = list(bars)
        self._draw()

    def counted(self) -> None:
        """Draw, if the last drawing is old enough."""
        if time.monotonic() - self.last >= NOTEBOOK_S:
            self._draw()

    def print(self, line: str) -> None:
        """Leave a line behind."""
        print(line, flush=True)

    def _draw(self) -> None:
        from IPython.display import HTML, display

        self.last = time.monotonic()
        html = HTML(as_html(self.bars))
        if self.handle is None:
            self.handle = display(html, display_id=True)
        else:
            self.handle.update(html)


def as_html(bars: Iterable[Bar], width: int = 100) -> str:
    """The drawing of `bars` as HTML; "" without any."""
    rows = list(bars)
    if not rows:
        return ""
    console = Console(record=True, file=_Nowhere(), width=width, force_terminal=True, force_jupyter=False)
    console.print(drawing(rows))
    code = console.export_html(inline_styles=True, code_format="{code}")
    return f'<pre style="white-space:pre;line-height:normal;font-family:Menlo,Consolas,monospace">{code}</pre>'


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing to flush."""

    def __iter__(self) -> Iterator[str]:
        return iter(())
