"""HTML tables of report.html."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from corea.cascade.chain_results import TierResults
from corea.evaluation import price_sensitivity
from corea.evaluation.audit import Audit
from corea.evaluation.dataset import Evaluation
from corea.evaluation.points import Point
from corea.evaluation.signal_comparison import SignalRow
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report import sentences
from corea.report.chain_words import change_figures, cost_title, thresholds_text
from corea.report.html_parts import html_table
from corea.report.plot_tables import cost_text

METRICS = {
    "accuracy": "pass@1",
    "cost": "cost per question",
    "mean_confidence": "mean confidence",
    "std_confidence": "spread of confidence (std)",
    "missing_confidence": "missing confidence",
    "ece": "ECE, equal width",
    "ece_equal_mass": "ECE, equal mass",
    "ece_debiased": "ECE, debiased",
    "brier": "Brier score",
    "brier_reliability": "Brier: reliability (lower is better)",
    "brier_resolution": "Brier: resolution (higher is better)",
    "brier_uncertainty": "Brier: uncertainty",
    "log_loss": "log loss",
    "auroc": "AUROC",
    "aurc": "AURC",
    "excess_aurc": "AURC over the best possible",
}


def _cell(figure: Figure | None, scale: float = 1.0, digits: int = 3, signed: bool = False) -> str:
    """One table cell: value and interval, both times `scale`."""
    if figure is None or not math.isfinite(figure.value):
        return "<td>–</td>"

    def text(value: float) -> str:
        plain = f"{value * scale:{'+' if signed else ''}.{digits}f}"
        return plain.lstrip("+-") if float(plain) == 0 else plain.replace("-", sentences.MINUS)

    ends = f" <span class=ci>({text(figure.low)} to {text(figure.high)})</span>" if math.isfinite(figure.low) else ""
    return f"<td>{text(figure.value)}{ends}</td>"


def rules_table(e: Evaluation) -> str:
    """HTML table: one row per rule."""
    cost = "cost, % against the LLM" if e.unit == USD else "LLM calls, %"
    head = ("rule", "threshold", "sent to the LLM", "pass@1", "points against the LLM", cost, "cost")
    rows = []
    for number, point in enumerate(e.points):
        own = point.chosen_on == e.name
        name = escape(point.choice.rule if own else f"{point.choice.rule} of {point.chosen_on}")
        if not point.figures:
            rows.append(f'<tr><td>{name}</td><td colspan="{len(head) - 1}">none: {escape(point.choice.note)}</td></tr>')
            continue
        f = point.figures
        cells = [
            f"<td>{name}</td><td>{point.choice.threshold:.3g}</td>",
            f"<td>{sentences.percent(f['deferral_rate'].value, signed=False)}</td>",
            _cell(f["accuracy"]),
            _cell(f["accuracy_change"], scale=100, digits=1, signed=True),
            _cell(f["cost_change"], scale=100, digits=1, signed=True),
            f"<td>{cost_text(f['cost'].value, e.unit)}</td>",
        ]
        if point.costs_more:
            cells[5] = cells[5].replace("<td>", '<td class="bad">')
        rows.append(f"<tr{' class=chosen' if number == 0 else ''}>{''.join(cells)}</tr>")
    return html_table(head, rows)


def metrics_table(e: Evaluation) -> str:
    """HTML table: one row per metric of the small model; before, after and change if there is a model before RL."""
    head = ("metric", "before RL", "after RL", "change") if e.before else ("metric", "value")
    rows = []
    for key, label in METRICS.items():
        if key == "cost" and e.unit != USD:
            continue
        scale, digits = (1e6, 2) if key == "cost" else (1.0, 3)
        label = "cost, $ per million questions" if key == "cost" else label
        cells = _cell(e.small.figures[key], scale, digits)
        if e.before:
            change = _cell(e.change.get(key), scale, digits, signed=True)
            cells = _cell(e.before.figures[key], scale, digits) + cells + change
        rows.append(f"<tr><td>{label}</td>{cells}</tr>")
    return html_table(head, rows)


def signals_table(rows: list[SignalRow], e: Evaluation) -> str:
    """HTML table: one row per signal; a star marks a difference to the first row with p < 0.05 (paired bootstrap)."""
    if not rows:
        return ""
    cost = "cost, % of the LLM" if e.unit == USD else "LLM calls, %"
    head = ("signal", "threshold", "pass@1", cost, "to the LLM, %", "ECE", "AUROC", "area gain", "APGR")
    base = e.large["cost"].value
    shown: list[tuple[str, float, int]] = [
        ("accuracy", 1.0, 3),
        ("cost", 100 / base if base > 0 else math.nan, 1),
        ("deferral_rate", 100.0, 1),
    ]
    shown += [(key, 1.0, 3) for key in ("ece", "auroc", "area_gain", "apgr")]
    body = []
    for number, row in enumerate(rows):
        threshold = "none" if row.choice.threshold is None else f"{row.choice.threshold:.3g}"
        cells = [f"<td>{escape(row.name)}</td><td>{threshold}</td>"]
        for key, scale, digits in shown:
            cell = _cell(row.figures.get(key), scale, digits)
            differs = row.p.get(key, 1.0) < 0.05
            cells.append(cell.replace("<td>", "<td>* ") if differs else cell)
        body.append(f"<tr{' class=chosen' if number == 0 else ''}>{''.join(cells)}</tr>")
    return html_table(head, body)


def prices_table(e: Evaluation, point: Point) -> str:
    """HTML table: cost against the LLM alone at other price ratios."""
    rows = []
    for row in price_sensitivity.sensitivity(e, point).itertuples():
        cell = _cell(Figure(value=row.cost_change, low=row.low, high=row.high, n=e.questions), 100, 1, signed=True)
        if row.cost_change > 0:
            cell = cell.replace("<td>", '<td class="bad">')
        name = f"{row.ratio:.3g}{' (this table)' if row.here else ''}"
        rows.append(f"<tr{' class=chosen' if row.here else ''}><td>{name}</td>{cell}</tr>")
    return (
        html_table(("an LLM answer costs this many SLM answers", "cost, % against the LLM alone"), rows) if rows else ""
    )


PEERS = {
    "area_gain": "area gain: 0 is random deferral, 1 the oracle",
    "apgr": "APGR (RouteLLM): mean share of the gap recovered",
    "cpt_50": "CPT 50 % (RouteLLM): LLM calls that recover half the gap",
    "cpt_80": "CPT 80 % (RouteLLM)",
    "aiq": "AIQ (RouterBench): mean height of the non-decreasing hull",
}


def peers_table(e: Evaluation) -> str:
    """HTML table: summary figures of other papers."""
    rows = [f"<tr><td>{label}</td>{_cell(e.areas.get(key))}</tr>" for key, label in PEERS.items()]
    for point in e.points:
        if point.chosen_on == e.name and "ibc_lift" in point.figures:
            label = f"IBC lift (AutoMix) at {point.choice.rule}, %"
            rows.append(f"<tr><td>{label}</td>{_cell(point.figures['ibc_lift'], 100, 1, signed=True)}</tr>")
    return html_table(("figure", "value"), rows)


def tiers_table(results: TierResults, names: dict[int, str], unit: str) -> str:
    """HTML tables: the point of each chain by the rule, then each tier alone."""
    rows = []
    for row in results.chosen.itertuples():
        accuracy, cost = change_figures(row)
        cells = f"<td>{row.chain}</td><td>{thresholds_text(row.thresholds)}</td><td>{row.accuracy:.3f}</td>"
        cells += _cell(accuracy, 100, 1, signed=True) + _cell(cost, 100, 1, signed=True)
        rows.append(f"<tr{' class=chosen' if row.best else ''}>{cells}</tr>")
    against = f"points against {escape(names[results.reference])} alone"
    table = html_table(("tiers", "thresholds", "pass@1", against, cost_title(unit)), rows) if rows else ""
    alone = [
        f"<tr><td>{tier}</td><td>{escape(names[tier])}</td><td>{accuracy:.3f}</td><td>{cost_text(cost, unit)}</td></tr>"
        for tier, (accuracy, cost) in results.alone.items()
    ]
    return table + html_table(("tier alone", "model", "pass@1", "cost"), alone)


def price_list(prices: dict[str, dict[str, Any]]) -> str:
    """HTML table: what each tier costs, with source and date; empty if the answers table has no prices."""
    rows = []
    for tier, price in sorted(prices.items()):
        own = price.get("gpu_hour") is not None
        cells = [
            f"{price[k]:g}" if price.get(k) is not None and not own else "–" for k in ("input", "cached", "output")
        ]
        hour = f"{price['gpu_hour']:g} x {price.get('gpus', 1)} at {price['tokens_per_s']:g} tokens/s" if own else "–"
        cells += [hour, escape(price.get("source") or "–"), escape(price.get("date") or "–")]
        rows.append(f"<tr><td>{escape(str(tier))}</td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    head = ("tier", "$ per million input tokens", "cached", "output", "$ per GPU-hour", "source", "date")
    return html_table(head, rows) if rows else ""


LISTED = 300
"""Maximum number of audit findings in the report; audit.csv has all."""
TEXT = 1500
"""Characters that the report shows of a text, from its end."""


def moves_table(audit: Audit, name: str) -> str:
    """HTML table: figures with the recorded verdicts and with corea's."""
    rows = []
    for row in audit.moves[audit.moves["dataset"] == name].itertuples():
        change = Figure(value=row.change, low=row.low, high=row.high, n=0)
        cells = f"<td>{row.recorded:.3f}</td><td>{row.regraded:.3f}</td>{_cell(change, signed=True)}"
        rows.append(f"<tr><td>{row.figure}</td>{cells}</tr>")
    return html_table(("figure", "recorded verdicts", "regraded", "change"), rows)


def disagreements_table(audit: Audit) -> str:
    """HTML table: one row per answer on which the verdicts differ or that the grader could not judge."""
    table = audit.findings
    if not len(table):
        return ""
    verdict = {True: "right", False: "wrong"}
    rows = []
    for row in table.head(LISTED).to_dict("records"):
        text = row.get("text") if isinstance(row.get("text"), str) else ""
        cut = ("… " if len(text) > TEXT else "") + text[-TEXT:]
        asked = row.get("question") if isinstance(row.get("question"), str) else ""
        names = [escape(str(row[k])) for k in ("question_id", "model") if isinstance(row.get(k), str)]
        judged = row["regraded"] is not None
        marks = [verdict[bool(row["recorded"])], verdict[bool(row["regraded"])] if judged else "not judged"]
        marks.append(escape(row["note"] or row["outcome"].replace("_", " ")))
        cells = [" · tier ".join([names[0], str(row["tier"])]) + (f" ({names[1]})" if len(names) > 1 else "")]
        cells += [escape(str(row.get("gold"))), escape(str(row.get("answer"))), *marks]
        cells.append(f"<details><summary>open</summary><p>{escape(asked)}</p><pre>{escape(cut)}</pre></details>")
        rows.append("<tr>" + "".join(f"<td>{c}</td>" for c in cells) + "</tr>")
    more = (
        f'<p class="help">The first {LISTED} of {len(table):,}; audit.csv has all.</p>' if len(table) > LISTED else ""
    )
    head = ("answer of", "gold", "given", "recorded", "regraded", "why", "texts")
    return f'<div class="wide">{html_table(head, rows)}</div>{more}'
