"""The summary in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from corea.evaluation.dataset import Evaluation
from corea.evaluation.points import Point
from corea.evaluation.results import Results
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report import sentences
from corea.report.advice import advice
from corea.report.chain_words import (
    change_figures,
    cost_title,
    model_names,
    share_of,
    shown_rows,
    thresholds_text,
)
from corea.report.former_section import FormerSection, former_summary
from corea.report.plot_tables import cost_text

WIDTH = 118
"""Width in characters if the output is not a terminal."""


def print_summary(results: Results, console: Console | None = None, former: FormerSection | None = None) -> None:
    """Headline, models, rules (of more than two tiers: chains), what has changed since `former`, and warnings."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    if results.tiers:
        console.print(chains_table(results))
        console.print(tiers_alone_table(results))
    if not all(results.chain(name) for name in results.datasets):
        console.print(models_table(results))
        console.print(rules_table(results))
    if former is not None:
        console.print(former_summary(former, results.primary))
        for text in former.words:
            console.print(f"[dim]{escape(text)}[/]", highlight=False)
    for text in sentences.warnings(results):
        console.print(f"[bold yellow]! {text}[/]", highlight=False)
    for text in results.notes:
        console.print(f"[dim]note: {text}[/]", highlight=False)
    for text in advice(results):
        console.print(f"[green]→[/] {text}", highlight=False)
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


def chains_table(results: Results) -> Table:
    """The best chains of each dataset, the chosen one in bold."""
    table = _table("Chains of tiers against the most accurate tier alone, test questions", left=("dataset", "chain"))
    for name in ("thresholds", "pass@1", "pass@1, points", cost_title(results.pooled.unit)):
        table.add_column(name, justify="right")
    for name, tiers in results.tiers.items():
        rows = list(shown_rows(tiers).itertuples())
        for number, row in enumerate(rows):
            accuracy, cost = change_figures(row)
            cells = [thresholds_text(row.thresholds), f"{row.accuracy:.3f}", _with_interval(accuracy)]
            style, last = "bold" if row.best else "", number == len(rows) - 1
            label = f"{name}, {tiers.rule}" if number == 0 else ""
            table.add_row(label, row.chain, *cells, _with_interval(cost), style=style, end_section=last)
    return table


def tiers_alone_table(results: Results) -> Table:
    """Each tier alone."""
    table = _table("Tiers alone, test questions", left=("dataset", "tier", "model"))
    for name in ("pass@1", "cost", "of the most accurate"):
        table.add_column(name, justify="right")
    names = model_names(results)
    for name, tiers in results.tiers.items():
        whole = tiers.alone[tiers.reference][1]
        for number, (tier, (accuracy, cost)) in enumerate(tiers.alone.items()):
            cells = [
                f"{accuracy:.3f}",
                cost_text(cost, results.pooled.unit),
                sentences.percent(share_of(cost, whole), False),
            ]
            table.add_row(
                name if number == 0 else "", str(tier), names[tier], *cells, end_section=tier == max(tiers.alone)
            )
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
