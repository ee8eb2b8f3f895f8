"""report.html: one self-contained file with the findings and interactive charts; it needs no network.

The page is the jinja2 template web/report.html with web/report.css and web/*.js; this module fills it.
"""

from __future__ import annotations

import math
from pathlib import Path

from corea.cascade.chain_results import BestChain
from corea.evaluation import price_sensitivity
from corea.evaluation.audit import sentence as audit_sentence
from corea.evaluation.operation import includes
from corea.evaluation.results import Results
from corea.prices import USD
from corea.report import html_tables, sentences
from corea.report.advice import advice
from corea.report.chain_words import model_names
from corea.report.chart_data import page_data
from corea.report.former_section import FormerSection, former_table
from corea.report.html_parts import WEB, render_template
from corea.runtime import atomic_write

SCRIPTS = ("report.js", "compare.js", "slider.js")


def write_report(results: Results, path: Path, former: FormerSection | None = None) -> Path:
    """Write the report; returns its path."""
    with atomic_write(path) as temporary:
        temporary.write_text(render(results, former), encoding="utf-8")
    return path


def render(results: Results, former: FormerSection | None = None) -> str:
    """The whole page; `former` is what has changed since a former report."""
    from markupsafe import Markup

    shown = results.everything
    point, chain = results.first.point(results.cfg.rule), results.chain(results.primary)
    data = page_data(results)
    return render_template(
        WEB / "report.html",
        [WEB / name for name in SCRIPTS],
        data,
        title=_title(results),
        headline=sentences.headline(results),
        costs_more=point.costs_more if chain is None else chain.costs_more,
        tiles=_tiles(results),
        warnings=sentences.warnings(results),
        advice=advice(results),
        includes=includes(results.cfg, chain is not None),
        datasets=[
            {
                "name": name,
                "sentence": sentences.story(results, name),
                "rules": Markup(html_tables.rules_table(e)),
                "signals": Markup(html_tables.signals_table(results.signals.get(name, []), e)),
                "prices": Markup(html_tables.prices_table(e, e.point(results.cfg.rule))),
                "prices_sentence": price_sensitivity.sentence(e, e.point(results.cfg.rule)),
                "peers": Markup(html_tables.peers_table(e)),
                "moves": Markup(html_tables.moves_table(results.audit, name)) if results.audit else "",
                "tiers": Markup(html_tables.tiers_table(results.tiers[name], model_names(results), e.unit))
                if name in results.tiers
                else "",
                "tiers_sentence": results.tiers[name].pays if name in results.tiers else "",
                "metrics": Markup(html_tables.metrics_table(e)),
                "former": Markup(former_table(former, name)) if former else "",
            }
            for name, e in shown.items()
        ],
        former=former,
        training=bool(data["training"]),
        signals=bool(results.signals),
        tiers=bool(results.tiers),
        pair=f"tier 0 in front of tier {max(next(iter(results.tiers.values())).alone)} alone" if results.tiers else "",
        price_list=Markup(html_tables.price_list(results.answers.meta.get("prices") or {})),
        audit=audit_sentence(results.audit) if results.audit else "",
        disagreements=Markup(html_tables.disagreements_table(results.audit)) if results.audit else "",
        level=f"{100 * results.cfg.level:g}",
        settings=sentences.settings(results),
        notes=results.notes,
        answers={
            "file": Path(results.answers.path).name,
            "sha256": results.answers.sha256,
            "rows": f"{results.answers.rows:,}",
        },
    )


def _title(results: Results) -> str:
    chain, models = results.chain(results.primary), results.answers.models
    if chain is not None:
        return " → ".join(model_names(results)[tier] for tier in chain.tiers)
    if len(models) < 2 or not all(models.values()):
        return "What this cascade saves"
    tiers = [" or ".join(models[tier]) for tier in sorted(models)]
    return " in front of ".join([tiers[0], tiers[-1]])


def _tiles(results: Results) -> list[dict[str, str]]:
    """The figures at the top of the page: cost, accuracy, deferral, calibration."""
    e, level = results.first, f"{100 * results.cfg.level:g} %"
    point = e.point(results.cfg.rule)
    tiles = []
    chain = results.chain(results.primary)
    if chain is not None:
        return _chain_tiles(results, chain)
    if point.figures:
        f = point.figures
        cost = "cost against the LLM alone" if e.unit == USD else "LLM calls against the LLM alone"
        for label, key, text in (
            (cost, "cost_change", sentences.percent),
            ("points of pass@1 against the LLM alone", "accuracy_change", lambda v: sentences.points(v).split()[0]),
        ):
            span = sentences.span(f[key])
            note = f"{level}: {span}" if span else ""
            tiles.append({"label": label, "value": text(f[key].value), "note": note})
        sent = sentences.percent(f["deferral_rate"].value, signed=False)
        note = f"confidence below {point.choice.threshold:.3g}"
        tiles.append({"label": "questions sent to the LLM", "value": sent, "note": note})
    for label, key in (("ECE of the confidence", "ece"), ("AUROC of the confidence", "auroc")):
        earlier = f"before RL {e.before.figures[key].value:.3f}" if e.before else e.name
        tiles.append({"label": label, "value": _short(e.small.figures[key].value), "note": earlier})
    return tiles


def _chain_tiles(results: Results, chain: BestChain) -> list[dict[str, str]]:
    """The figures of the best chain, and the share that each model answers."""
    names, level = model_names(results), f"{100 * results.cfg.level:g} %"
    against = f"against {names[chain.reference]} alone"
    tiles = []
    for label, key, text in (
        ("cost" if results.first.unit == USD else "LLM calls", "cost_change", sentences.percent),
        ("points of pass@1", "accuracy_change", lambda v: sentences.points(v).split()[0]),
    ):
        span = sentences.span(chain.figures[key])
        note = f"{level}: {span}" if span else ""
        tiles.append({"label": f"{label} {against}", "value": text(chain.figures[key].value), "note": note})
    for tier, share, threshold in zip(chain.tiers, chain.answered, [*chain.thresholds, None], strict=True):
        note = "the rest" if threshold is None else f"confidence at least {threshold:.3g}"
        value = sentences.percent(share, signed=False)
        tiles.append({"label": f"answered by {names[tier]}", "value": value, "note": note})
    return tiles


def _short(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"
