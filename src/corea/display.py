"""Progress of a command: `with progress("questions", total) as bar` counts what is done, and one screen shows it.

    rich        live bars on a terminal; finished ones leave one line behind
    notebook    the same bars in the output of a cell, without widgets
    plain       a line every few seconds, without carriage returns or escape codes
    none        nothing

The configuration key `display` chooses the form; `auto` takes rich on a terminal, notebook in Jupyter, plain elsewhere.
Counting costs an addition and a look at the clock: drawing is limited by time, however often `advance` is called.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol

EVERY_S = 5.0
"""Seconds between two plain lines at first."""
SHARE = 0.02
"""Share of the time so far between two plain lines of long runs: a day has some 250 lines, not 17,000."""
RESULT = {"result": True}
"""`log.info(..., extra=RESULT)` marks a log line as a result, which display=none prints too."""
QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Environment in which libraries that are imported later draw no bars of their own."""


class Bar:
    """A counted activity."""

    def __init__(self, label: str, total: int, done: int = 0, *, always: bool = False, rate: bool = True) -> None:
        """`done` of `total` was done by an earlier run.

        `always` prints the first and the last line also of a short activity; `rate` shows the speed.
        """
        self.label, self.total, self.done, self.before = label, total, done, done
        self.always, self.rate = always, rate
        self.figures = ""
        """What else to show: figures with two spaces between them."""
        self.printed = False
        """Whether a plain line has been printed."""
        self.started = self.counted = time.monotonic()

    def advance(self, count: int = 1, figures: str | None = None) -> None:
        """`count` more are done."""
        self.update(self.done + count, figures)

    def update(self, done: int, figures: str | None = None) -> None:
        """`done` of the total are done."""
        self.done = done
        if figures is not None:
            self.figures = figures
        self.counted = time.monotonic()
        _screen.counted(self)

    @property
    def seconds_each(self) -> float:
        """Mean seconds per item of this run; NaN before the first."""
        new = self.done - self.before
        return (self.counted - self.started) / new if new > 0 else math.nan

    @property
    def seconds_left(self) -> float:
        """Expected time to the end, at the mean speed of this run; NaN before the first item."""
        left = (self.total - self.done) * self.seconds_each - (time.monotonic() - self.counted)
        return left if math.isnan(left) else max(0.0, left)

    def facts(self) -> str:
        """Figures, speed and time left, in one line."""
        each, left = self.seconds_each, self.seconds_left
        parts = [self.figures] if self.figures else []
        if self.rate and each > 0:
            parts.append(f"{1 / each:,.1f}/s" if each < 1 else f"{each:.1f} s each")
        if self.done < self.total and math.isfinite(left):
            parts.append(f"{duration(left)} left")
        return "  ".join(parts)

    def line(self) -> str:
        """The whole state in one line."""
        facts = self.facts()
        return f"{self.label} {self.done:,}/{self.total:,}{'  ' if facts else ''}{facts}"


def duration(seconds: float) -> str:
    """40 s, 3 min, 2 h 5 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


class Live(Protocol):
    """Where live bars are drawn; see live_display.py."""

    def show(self, bars: list[Bar]) -> None:
        """The bars that are under way, outermost first, have changed; an empty list ends the drawing."""

    def counted(self) -> None:
        """A bar has advanced."""

    def print(self, line: str) -> None:
        """Leave a line behind, above the bars."""


class _Screen:
    """The bars of this process and their form."""

    def __init__(self) -> None:
        self.mode: str | None = None
        """Value of the key `display`; None outside of commands, where nothing prints plain lines."""
        self.console: Any = None
        """rich.console.Console to draw on; None: one for standard output."""
        self.bars: list[Bar] = []
        self.live: Live | None = None
        self.form = "none"
        self.lock = threading.RLock()
        self.began = self.last = 0.0

    def open(self, bar: Bar) -> None:
        with self.lock:
            if not self.bars:
                self.form = form_of(self.mode)
                self.began = self.last = time.monotonic()
                if self.form in ("rich", "notebook"):
                    from corea.live_display import build_live

                    self.live = build_live(self.form, self.console)
            self.bars.append(bar)
            if self.live is not None:
                self.live.show(self.bars)

    def counted(self, bar: Bar) -> None:
        if self.live is not None:
            self.live.counted()
        elif self.form == "plain":
            now = bar.counted
            first = bar.always and not bar.printed
            due = first or now - self.last >= max(EVERY_S, SHARE * (now - self.began))
            if due and not (bar.always and bar.done >= bar.total):  # then `close` prints
                with self.lock:
                    self.last, bar.printed = now, True
                    print(bar.line(), flush=True)

    def close(self, bar: Bar, whole: bool) -> None:
        with self.lock:
            self.bars.remove(bar)
            live, self.live = self.live, self.live if self.bars else None
            if live is not None:
                live.show(self.bars)
            if whole and bar.always and bar.done > bar.before and self.form != "none":
                ended = f"{bar.line()}  in {duration(bar.counted - bar.started)}"
                print(ended, flush=True) if live is None else live.print(ended)


_screen = _Screen()
_current: ContextVar[Bar | None] = ContextVar("bar", default=None)


@contextmanager
def progress(label: str, total: int, done: int = 0, *, always: bool = False, rate: bool = True) -> Iterator[Bar]:
    """A bar that is shown as long as the block runs. Arguments as in `Bar`; bars may be nested."""
    bar = Bar(label, total, done, always=always, rate=rate)
    token = _current.set(bar)
    _screen.open(bar)
    whole = False
    try:
        yield bar
        whole = True
    finally:
        _screen.close(bar, whole)
        _current.reset(token)


def tick(count: int = 1, figures: str | None = None) -> None:
    """Advance the innermost bar of this thread, if there is one: for work whose caller knows how much there is."""
    bar = _current.get()
    if bar is not None:
        bar.advance(count, figures)


def say(text: str) -> None:
    """Print a line about the course of a command, which is neither a result nor an error; the first rank does."""
    if _screen.mode != "none" and os.environ.get("RANK", "0") == "0":
        print(text, flush=True)


@contextmanager
def shown_as(mode: str, console: Any = None) -> Iterator[None]:
    """Inside, progress has the form `mode`: auto, plain, rich or none. Of several ranks, only the first shows any.

    `console` is the rich.console.Console that live bars are drawn on; None: standard output.
    """
    before = _screen.mode, _screen.console
    _screen.mode, _screen.console = mode, console
    quiet = {} if form_of(mode) in ("rich", "notebook") else {k: v for k, v in QUIET.items() if k not in os.environ}
    os.environ.update(quiet)
    handlers = _console_handlers() if mode == "none" else []
    for handler in handlers:
        handler.addFilter(_is_result)
    try:
        yield
    finally:
        _screen.mode, _screen.console = before
        for name in quiet:
            os.environ.pop(name, None)
        for handler in handlers:
            handler.removeFilter(_is_result)


def _is_result(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or hasattr(record, "result")


def _console_handlers() -> list[logging.Handler]:
    """The handlers of log lines that go to a console; the log file of a run keeps all lines."""
    found = logging.getLogger().handlers
    return [h for h in found if isinstance(h, logging.StreamHandler) and not isinstance(h, logging.FileHandler)]


def form_of(mode: str | None) -> str:
    """rich, notebook, plain or none for a value of the key `display`; None is a caller outside of any command."""
    if os.environ.get("RANK", "0") != "0" or mode == "none":
        return "none"
    if mode in ("plain", "rich"):
        return mode
    if _in_notebook():
        return "notebook"
    terminal = False
    with suppress(ValueError, AttributeError):  # standard output may be closed, or any object
        terminal = sys.stdout.isatty()
    if terminal and os.environ.get("TERM", "") not in ("dumb", "unknown"):
        return "rich"
    return "none" if mode is None else "plain"


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # Jupyter and VS Code; Google Colab
