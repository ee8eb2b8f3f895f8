"""The summary in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from corea.evaluation.dataset import Evaluation, Point
from corea.evaluation.results import Results
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report import sentences

WIDTH = 118
"""Width in characters if the output is not a terminal."""


def print_summary(results: Results, console: Console | None = None) -> None:
    """Headline, one row per dataset, one row per rule, warnings and notes."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    console.print(models_table(results))
    console.print(rules_table(results))
    for text in sentences.warnings(results):
        console.print(f"[bold yellow]! {text}[/]", highlight=False)
    for text in results.notes:
        console.print(f"[dim]note: {text}[/]", highlight=False)
    console.print(f"[bold]{sentences.headline(results)}[/]", highlight=False)
    console.print(f"[dim]{sentences.settings(results)}[/]", highlight=False)


def models_table(results: Results) -> Table:
    """Each model alone; with a table of the model before RL, "before → after"."""
    table = _table("Models alone, test questions", left=("dataset",))
    for name in ("questions", "SLM pass@1", "ECE", "AUROC", "Brier", "missing", "LLM pass@1"):
        table.add_column(name, justify="right")
    for name, e in results.everything.items():
        cells = [_before_after(e, key) for key in ("accuracy", "ece", "auroc", "brier")]
        missing = sentences.percent(e.small.figures["missing_confidence"].value, signed=False)
        table.add_row(name, f"{e.questions:,}", *cells, missing, _value(e.large["accuracy"]))
    return table


def _table(title: str, left: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in left:
        table.add_column(name, overflow="fold")
    return table


def _before_after(e: Evaluation, key: str) -> str:
    now = _value(e.small.figures[key])
    return now if e.before is None else f"{_value(e.before.figures[key])} → {now}"


def _value(figure: Figure) -> str:
    return f"{figure.value:.3f}" if figure.value == figure.value else "–"


def rules_table(results: Results) -> Table:
    """The cascade at the threshold of each rule."""
    table = _table("Cascade against the LLM alone", left=("dataset", "rule"))
    unit = "cost, %" if results.pooled.unit == USD else "LLM calls, %"
    for name in ("threshold", "to LLM", "pass@1", "pass@1, points", unit):
        table.add_column(name, justify="right")
    for name, e in results.everything.items():
        for number, point in enumerate(e.points):
            own = point.chosen_on == name
            rule = point.choice.rule if own else f"as {point.chosen_on}"
            style = "bold" if number == 0 else ""
            last = number == len(e.points) - 1
            table.add_row(name if number == 0 else "", rule, *_point_cells(point), style=style, end_section=last)
    return table


def _point_cells(point: Point) -> list[str]:
    if not point.figures:
        return ["none", "–", "–", "–", "–"]
    f = point.figures
    cost = _with_interval(f["cost_change"])
    return [
        f"{point.choice.threshold:.3g}",
        sentences.percent(f["deferral_rate"].value, signed=False),
        _value(f["accuracy"]),
        _with_interval(f["accuracy_change"]),
        f"[red]{cost}[/]" if point.costs_more else cost,
    ]


def _with_interval(figure: Figure) -> str:
    if figure.value != figure.value:
        return "–"
    value = f"{100 * figure.value:+.1f}".replace("-", sentences.MINUS)
    return f"{value} ({sentences.span(figure)})" if sentences.span(figure) else value
