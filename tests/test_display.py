"""One screen for the progress of every command: live bars, plain lines, a notebook's cell, or nothing."""

from __future__ import annotations

import io
import logging
import re
import sys

import pytest
from rich.console import Console

import corea.display
from corea.composition import compose
from corea.display import duration, form_of, progress, say, shown_as, tick
from corea.errors import UserError
from corea.live_display import as_html, drawing, shorten

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only `clock.now` moves."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(corea.display.time, "monotonic", lambda: Clock.now)
    return Clock


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_plain_lines_come_every_five_seconds_with_speed_and_time_left(clock, capsys):
    with shown_as("plain"), progress("questions", 100) as bar:
        for _ in range(100):
            clock.now += 1
            bar.advance()
    printed = lines(capsys)
    assert printed[0] == "questions 5/100  1.0 s each  95 s left".replace("95 s", "2 min")
    assert printed[1] == "questions 10/100  1.0 s each  90 s left".replace("90 s", "2 min")
    assert printed[4] == "questions 25/100  1.0 s each  75 s left"
    assert len(printed) == 20


def test_lines_of_a_day_stay_few(clock, capsys):
    with shown_as("plain"), progress("questions", 86_400) as bar:
        for _ in range(86_400):
            clock.now += 1
            bar.advance()
    assert 200 < len(lines(capsys)) < 400


def test_a_short_activity_prints_nothing_but_one_that_always_shows_prints_its_first_and_last_line(clock, capsys):
    for always in (False, True):
        with shown_as("plain"), progress("step", 3, always=always, rate=False) as bar:
            for number in range(3):
                clock.now += 1
                bar.advance(figures=f"reward {number}")
    assert lines(capsys) == ["step 1/3  reward 0  2 s left", "step 3/3  reward 2  in 3 s"]


def test_plain_output_has_no_carriage_return_or_escape_code(clock, capsys):
    with shown_as("plain"), progress("a", 9, always=True) as bar:
        for _ in range(9):
            clock.now += 3
            bar.advance(figures="[bold]x[/]")
            tick(0)
    out = capsys.readouterr().out
    assert "\r" not in out
    assert "\x1b" not in out
    assert "[bold]x[/]" in out


def test_what_an_earlier_run_did_counts_as_done_but_not_for_the_speed(clock, capsys):
    with shown_as("plain"), progress("questions", 100, 80) as bar:
        clock.now += 10
        bar.advance(5)
    assert lines(capsys) == ["questions 85/100  2.0 s each  30 s left"]


def test_the_time_left_runs_down_between_two_counts(clock):
    with progress("questions", 10) as bar:
        clock.now += 10
        bar.advance(5)
        clock.now += 4
        assert bar.seconds_left == 6.0


def test_tick_counts_on_the_innermost_bar_and_is_harmless_without_any():
    tick()
    with progress("outer", 5) as outer:
        tick()
        with progress("inner", 5) as inner:
            tick(2)
        tick()
    assert (outer.done, inner.done) == (2, 2)


def test_live_bars_are_drawn_on_the_console_and_leave_one_line(clock):
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with shown_as("rich", console), progress("job", 2), progress("step", 4, always=True, rate=False) as bar:
        for _ in range(4):
            clock.now += 30
            bar.advance(figures="reward 0.500  pass@1 0.250")
        corea.display._screen.live.live.refresh()
    drawn = console.file.getvalue()
    assert "\x1b[" in drawn
    text = ESCAPES.sub("", drawn)
    assert re.search(r"job +\S* +0/2", text)
    assert re.search(r"step +━+ +4/4", text)
    assert text.splitlines().count("step 4/4  reward 0.500  pass@1 0.250  in 2 min") == 1
    assert "0/2 0 s left" not in text


def test_log_lines_and_prints_appear_above_live_bars(capsys, monkeypatch):
    console = Console(file=sys.stdout, force_terminal=True, width=80)
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    before = handler.stream
    with shown_as("rich", console), progress("step", 4):
        assert handler.stream is not before
        logging.getLogger().warning("a warning")
    assert handler.stream is before
    assert "a warning\n" in ESCAPES.sub("", capsys.readouterr().out).replace("\r", "")


def test_an_error_ends_the_drawing_without_a_last_line():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with pytest.raises(KeyboardInterrupt), shown_as("rich", console), progress("step", 4, always=True) as bar:
        bar.advance()
        raise KeyboardInterrupt
    assert corea.display._screen.bars == []
    assert corea.display._screen.live is None
    assert "in 0 s" not in console.file.getvalue()


def test_figures_that_do_not_fit_are_dropped_whole():
    assert shorten("reward 0.5  pass@1 0.25  ECE 0.1", 25) == "reward 0.5  pass@1 0.25"
    console = Console(file=io.StringIO(), width=40)
    with progress("step", 4) as bar:
        bar.update(1, "reward 0.500  pass@1 0.250  ECE 0.100  AUROC 0.600")
        console.print(drawing([bar]))
    printed = console.file.getvalue().splitlines()
    assert printed[1].strip() == "reward 0.500  pass@1 0.250  ECE 0.100"
    assert max(map(len, printed)) <= 40


def test_none_prints_neither_progress_nor_remarks_and_only_errors_of_the_log(capsys, monkeypatch):
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with shown_as("none"), progress("step", 1, always=True) as bar:
        bar.advance()
        say("a remark")
        logging.getLogger("corea.x").warning("a warning")
        logging.getLogger("corea.x").error("an error")
        logging.getLogger("corea.x").warning("a result", extra=corea.display.RESULT)
    assert handler.filters == []
    assert capsys.readouterr().out == "an error\na result\n"


def test_auto_takes_the_form_of_where_the_output_goes(monkeypatch):
    class Stream(io.StringIO):
        terminal = True

        def isatty(self) -> bool:
            return self.terminal

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    assert [form_of("auto"), form_of("plain"), form_of("none"), form_of(None)] == ["rich", "plain", "none", "rich"]
    monkeypatch.setenv("TERM", "dumb")
    assert form_of("auto") == "plain"
    monkeypatch.setenv("TERM", "xterm")
    stream.terminal = False
    assert [form_of("auto"), form_of("rich"), form_of(None)] == ["plain", "rich", "none"]
    monkeypatch.setenv("RANK", "1")
    assert form_of("rich") == "none"


def test_a_notebook_gets_one_display_that_is_replaced(monkeypatch):
    IPython = pytest.importorskip("IPython")
    shown: list[str] = []

    class ZMQInteractiveShell:
        """Stands for the shell of a kernel."""

    class Handle:
        def update(self, html) -> None:
            shown.append(html.data)

    def display(html, display_id):
        shown.append(html.data)
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", ZMQInteractiveShell)
    monkeypatch.setattr("IPython.display.display", display)
    with shown_as("auto"), progress("step", 2) as bar:
        corea.display._screen.live.last = 0.0
        bar.advance(figures="reward 0.5")
    assert "step" in shown[0]
    assert "1/2" in shown[1]
    assert "reward 0.5" in shown[1]
    assert "\x1b" not in shown[1]
    assert shown[-1] == as_html([]) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.4, "4 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations_have_the_unit_that_is_read_at_a_glance(seconds, words):
    assert duration(seconds) == words


def test_a_wrong_value_names_the_allowed_ones():
    with pytest.raises(UserError, match=r"^display=rihc: allowed is auto, plain, rich, none; did you mean rich\?$"):
        compose("evaluate", "answers=x.parquet", "display=rihc")
