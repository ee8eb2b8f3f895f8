"""report.html: one file with everything in it, the story first, charts to hover over. Needs no network to be read.

The page is web/report.html (jinja2) with web/report.css and web/report.js; this module makes its numbers. Plotly's
JavaScript comes from the installed plotly package, compressed.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corea.cascade import prepare, prices, story, tables
from corea.cascade.evaluation import Evaluation
from corea.cascade.files import file_hash
from corea.cascade.pairs import USD
from corea.cascade.prepare import cost_text, thin
from corea.cascade.run import Results, models_of
from corea.cascade.signals import SignalRow
from corea.runtime import atomic_write

WEB = Path(__file__).parent / "web"
SCRIPTS = ("report.js", "slider.js", "tools.js")
QUESTIONS = 3000
"""Questions that the slider can list; of more, an even part."""


def write_report(results: Results, path: Path) -> Path:
    """Write the report; returns its path."""
    with atomic_write(path) as temporary:
        temporary.write_text(render(results), encoding="utf-8")
    return path


def render(results: Results) -> str:
    """The whole page."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    shown = results.everything
    point = results.first.point(results.cfg.rule)
    data = {
        "datasets": [
            chart_data(e, results.cfg.rule) | {"signals": _lines(results.signals.get(name, []), e)}
            for name, e in shown.items()
        ],
        "training": _training(results),
    }
    page = Environment(loader=FileSystemLoader(WEB), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return page.get_template("report.html").render(
        title=_title(results),
        headline=story.headline(results),
        costs_more=point.costs_more,
        tiles=_tiles(results),
        warnings=story.warnings(results),
        datasets=[
            {
                "name": name,
                "sentence": story.sentence(e, e.point(results.cfg.rule), results.cfg.level),
                "rules": Markup(tables.rules_table(e)),
                "signals": Markup(tables.signals_table(results.signals.get(name, []), e)),
                "prices": Markup(tables.prices_table(e, e.point(results.cfg.rule))),
                "prices_sentence": prices.sentence(e, e.point(results.cfg.rule)),
                "peers": Markup(tables.peers_table(e)),
                "tiers": Markup(tables.tiers_table(results.tiers[name])) if name in results.tiers else "",
                "tiers_sentence": results.tiers[name].pays if name in results.tiers else "",
                "metrics": Markup(tables.metrics_table(e)),
            }
            for name, e in shown.items()
        ],
        training=bool(data["training"]),
        signals=bool(results.signals),
        tiers=bool(results.tiers),
        level=f"{100 * results.cfg.level:g}",
        settings=story.settings(results),
        notes=results.notes,
        answers={
            "file": Path(results.answers.path).name,
            "sha256": file_hash(results.answers.path),
            "rows": f"{len(results.answers.frame):,}",
        },
        css=Markup((WEB / "report.css").read_text(encoding="utf-8")),
        js=Markup("".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)),
        data=Markup(json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")),
        plotly=Markup(_plotly()),
    )


@cache
def _plotly() -> str:
    """Plotly's JavaScript, gzip in base64. Found without importing plotly, which would take longer than the report."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None, "plotly is a dependency of corea"
    script = Path(str(spec.origin)).parent / "package_data" / "plotly.min.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), 6, mtime=0)).decode()


def _title(results: Results) -> str:
    models = models_of(results.answers)
    if len(models) < 2 or not all(models.values()):
        return "What this cascade saves"
    tiers = [" or ".join(models[tier]) for tier in sorted(models)]
    return " in front of ".join([tiers[0], tiers[-1]])


def _tiles(results: Results) -> list[dict[str, str]]:
    """The four figures that people ask for first."""
    e, level = results.first, f"{100 * results.cfg.level:g} %"
    point = e.point(results.cfg.rule)
    tiles = []
    if point.figures:
        f = point.figures
        cost = "cost against the LLM alone" if e.unit == USD else "LLM calls against the LLM alone"
        for label, key, text in (
            (cost, "cost_change", story.percent),
            ("points of pass@1 against the LLM alone", "accuracy_change", lambda v: story.points(v).split()[0]),
        ):
            span = story.span(f[key])
            note = f"{level}: {span}" if span else ""
            tiles.append({"label": label, "value": text(f[key].value), "note": note})
        sent = story.percent(f["deferral_rate"].value, signed=False)
        note = f"confidence below {point.choice.threshold:.3g}"
        tiles.append({"label": "questions sent to the LLM", "value": sent, "note": note})
    for label, key in (("ECE of the small model", "ece"), ("AUROC of its confidence", "auroc")):
        earlier = f"before RL {e.before.figures[key].value:.3f}" if e.before else e.name
        tiles.append({"label": label, "value": _short(e.small.figures[key].value), "note": earlier})
    return tiles


def chart_data(e: Evaluation, rule: str) -> dict[str, Any]:
    """What report.js draws for one dataset."""
    table = prepare.prepare_pareto(e)
    series = dict(tuple(table.groupby("series", sort=False)))
    pareto: dict[str, Any] = {
        name: _xy(thin(series[name]), e)
        for name in ("cascade", "before", "random", "oracle", "slm", "llm")
        if name in series
    }
    own = [p.choice.rule for p in e.points if p.figures and p.chosen_on == e.name]
    pareto["rules"] = [{"name": r, **_xy(series[r][series[r]["chosen_on"] == e.name], e)} for r in own]
    steps = thin(prepare.prepare_thresholds(e))
    return {
        "name": e.name,
        "cost_label": prepare.cost_label(e),
        "llm_accuracy": _rounded([e.large["accuracy"].value])[0],
        "pareto": pareto,
        "reliability": {k: _bins(t) for k, t in prepare.prepare_reliability(e).groupby("when")},
        "histogram": {k: _bars(t) for k, t in prepare.prepare_histogram(e).groupby("when")},
        "thresholds": {
            "x": _rounded(steps["threshold"]),
            "accuracy": _rounded(steps["accuracy"]),
            "deferral": _rounded(steps["deferral_rate"]),
            "text": [_hover(row, e) for row in steps.itertuples()],
            "cost_percent": _rounded(steps["cost_percent"]),
            "cost": [cost_text(c, e.unit) for c in steps["cost"]],
        },
        "chosen": e.point(rule).choice.threshold,
        "questions": _questions(e),
    }


def _questions(e: Evaluation) -> dict[str, Any]:
    """What the slider lists: questions by confidence (null first), 2 * SLM right + LLM right each."""
    if e.test is None:
        return {"id": [], "confidence": [], "outcome": []}
    t = e.test
    order = np.argsort(np.nan_to_num(t.confidence, nan=-1.0), kind="stable")
    order = order[np.unique(np.linspace(0, len(order) - 1, min(QUESTIONS, len(order))).astype(int))]
    return {
        "id": [str(v)[:80] for v in t.question_id[order]],
        "confidence": _rounded(t.confidence[order]),
        "outcome": (2 * t.slm_correct[order].astype(int) + t.llm_correct[order]).tolist(),
        "all": len(t),
    }


def _lines(rows: list[SignalRow], e: Evaluation) -> list[dict[str, Any]]:
    """Cost and accuracy of each signal at every threshold."""
    drawn = []
    for row in rows:
        line = thin(row.line, 200)
        points = {"x": _rounded(prepare.percent_of_llm(line["cost"], e)), "y": _rounded(line["accuracy"])}
        drawn.append({"name": row.name, **points})
    return drawn


def _xy(table: pd.DataFrame, e: Evaluation) -> dict[str, Any]:
    """Points of the Pareto chart with their hover text, and a band where there is one."""
    points: dict[str, Any] = {
        "x": _rounded(table["cost_percent"]),
        "y": _rounded(table["accuracy"]),
        "text": [_hover(row, e) for row in table.itertuples()],
    }
    if table["accuracy_lo"].notna().all():
        points |= {"low": _rounded(table["accuracy_lo"]), "high": _rounded(table["accuracy_hi"])}
    return points


def _hover(row: Any, e: Evaluation) -> str:
    """Threshold, deferral, cost and accuracy of one point."""
    lines = []
    if math.isfinite(getattr(row, "threshold", math.nan)):
        lines.append("everything deferred" if row.threshold > 1 else f"threshold {row.threshold:.4g}")
    lines.append(f"sent to the LLM {100 * row.deferral_rate:.1f} %")
    relative = f" ({row.cost_percent:.1f} % of the LLM)" if math.isfinite(row.cost_percent) else ""
    lines.append(f"cost {cost_text(row.cost, e.unit)}{relative}")
    ends = ""
    if math.isfinite(getattr(row, "accuracy_lo", math.nan)):
        ends = f" ({100 * row.accuracy_lo:.1f} to {100 * row.accuracy_hi:.1f})"
    lines.append(f"pass@1 {100 * row.accuracy:.1f} %{ends}")
    return "<br>".join(lines)


def _bins(table: pd.DataFrame) -> dict[str, Any]:
    share = table["n"] / table["n"].sum()
    text = [
        f"confidence {r.confidence:.3f}<br>right {100 * r.accuracy:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f})"
        f"<br>{r.n:,} answers"
        for r in table.itertuples()
    ]
    return {
        "x": _rounded(table["confidence"]),
        "y": _rounded(table["accuracy"]),
        "up": _rounded(table["high"] - table["accuracy"]),
        "down": _rounded(table["accuracy"] - table["low"]),
        "size": _rounded(6 + 22 * np.sqrt(share)),
        "text": text,
    }


def _bars(table: pd.DataFrame) -> dict[str, Any]:
    return {
        key: _rounded(table[column])
        for key, column in (("x", "confidence"), *((c, c) for c in ("width", "right", "wrong")))
    }


def _training(results: Results) -> list[dict[str, Any]]:
    table = prepare.prepare_training(results.training)
    return [
        {"title": title, **{key: _rounded(thin(part, 600)[key]) for key in ("step", "value", "smooth")}}
        for title, part in table.groupby("panel", sort=False)
    ]


def _rounded(values: Any) -> list[float | None]:
    """Six significant digits; what is not a number is null."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in np.asarray(values, np.float64)]


def _short(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
