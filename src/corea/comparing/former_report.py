"""The results of an evaluation against a former report: its run folder, or its metrics.json.

Where the former answers table is still there and has the same test questions, the interval of a difference is paired:
both sides are measured on the same resampled questions (paired_figures.py). Else it is that of independent samples: the
half-widths of the two intervals add in quadrature on each side (Zou and Donner 2008, "MOVER"), which needs nothing but
the two reports. On the same questions that one is valid and too wide.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from corea.comparing.figure_text import number, span_text
from corea.comparing.metric_names import metrics_of
from corea.comparing.paired_figures import draw_figures, over_questions, questions_of
from corea.comparing.run_sources import FIGURES, ComparedRun, read_document, read_folder, shared_bootstrap
from corea.comparing.seed_figures import Span
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluation.question_sets import QuestionSets
from corea.evaluation.results import Results
from corea.metrics.figures import Figure
from corea.report.former_section import FormerRow, FormerSection
from corea.report.result_files import metrics_document

HEADLINE = {
    "chain/accuracy_change": "chain: pass@1 against the reference, points",
    "chain/cost_change": "chain: cost against the reference, %",
    "chain/accuracy": "chain: pass@1",
    "cascade/accuracy_change": "cascade: pass@1 against the LLM, points",
    "cascade/cost_change": "cascade: cost against the LLM, %",
    "cascade/accuracy": "cascade: pass@1",
    "cascade/deferral_rate": "cascade: share sent to the LLM",
    "cascade/threshold": "cascade: threshold",
    "slm/accuracy": "small model: pass@1",
    "slm/ece": "small model: ECE",
    "slm/auroc": "small model: AUROC",
    "llm/accuracy": "LLM alone: pass@1",
}
"""Figures that are compared, of those that both reports have -> their names."""


def against_former(results: Results, cfg: EvaluateConfig) -> FormerSection:
    """Compare `results` with the report `cfg.former`.

    Raises:
        UserError: it is no report, or has no dataset in common with this one.
    """
    assert cfg.former is not None, "called with former="
    former = read_former(Path(cfg.former))
    kept = replace(cfg, before=None, cascade=replace(cfg.cascade, compare=False))
    now = ComparedRun(path=cfg.answers, document=metrics_document(results), evaluation=kept)
    figures = metrics_of(former), metrics_of(now)
    shared = [name for name in results.everything if name in figures[0]]
    if not shared:
        raise UserError(f"former={cfg.former}: none of its datasets ({', '.join(figures[0])}) is in {cfg.answers}")
    same_level = (former.document or {}).get("level") == results.cfg.level
    asked = _questions(former, now, cfg) if same_level else None
    lines, paired = [], []
    for name in shared:
        spans = _paired(former, now, asked, name, cfg) if asked is not None else {}
        paired += [name] if spans else []
        lines += _settings_rows(former, now, name)
        for metric in HEADLINE:
            one, other = (side[name].get(metric) for side in figures)
            if one is not None and other is not None:
                lines.append(_line(name, metric, one, other, spans.get(metric, Span()), same_level))
    return FormerSection(
        name="/".join(Path(cfg.former).absolute().parts[-2:]),
        words=_words(results, shared, paired, same_level),
        rows=[row for row, _ in lines],
        table=pd.DataFrame([record for _, record in lines if record]),
    )


def read_former(path: Path) -> ComparedRun:
    """The former report: a run folder, or a metrics.json, whose folder is used where it still holds the answers."""
    if path.is_dir():
        run = read_folder(path)
        if run.document is None:
            raise UserError(f"former={path}: no {FIGURES}; give the folder or the {FIGURES} of a former corea.evaluate")
        return run
    document = read_document(path)
    run = read_folder(path.parent) if path.name == FIGURES else ComparedRun(path=str(path))
    return replace(run, document=document)


def _questions(former: ComparedRun, now: ComparedRun, cfg: EvaluateConfig) -> tuple[QuestionSets, QuestionSets] | None:
    """The questions of both sides; None where the former answers table is gone."""
    if former.evaluation is None:
        return None
    return questions_of(former, cfg.cascade), questions_of(now, cfg.cascade)


def _paired(
    former: ComparedRun, now: ComparedRun, asked: tuple[QuestionSets, QuestionSets], dataset: str, cfg: EvaluateConfig
) -> dict[str, Span]:
    """Metric -> paired interval; empty where the test questions are not the same."""
    draws, ids = [], []
    for run, sets in zip((former, now), asked, strict=True):
        assert run.evaluation is not None
        cascade = shared_bootstrap(run.evaluation.cascade, cfg.cascade)
        test, known, _ = sets.parts(dataset, cascade)
        ids.append(list(map(str, test.question_id)))
        draws.append((test, known, cascade))
    if ids[0] != ids[1] or not ids[0]:
        return {}
    before, after = (draw_figures(test, known, dataset, cascade, ()) for test, known, cascade in draws)
    return {m: over_questions(m, [after], [before], cfg.cascade.level, True) for m in HEADLINE}


def _line(
    dataset: str, metric: str, former: Figure, now: Figure, paired: Span, same_level: bool
) -> tuple[FormerRow, dict[str, Any]]:
    """The row of a figure: as text, and as numbers."""
    change = now.value - former.value
    span, kind = (paired, "paired") if paired.known else (independent(former, now), "independent")
    if not (span.known and same_level):
        span, kind = Span(), ""
    row = FormerRow(
        dataset=dataset,
        figure=HEADLINE[metric],
        former=number(metric, former.value),
        now=number(metric, now.value),
        change=number(metric, change, signed=True),
        interval=span_text(metric, span.low, span.high, signed=True),
        kind=kind,
        excludes_zero=bool(span.low > 0 or span.high < 0),
    )
    record = {"dataset": dataset, "figure": metric, "former": former.value, "now": now.value, "change": change}
    return row, {**record, "low": span.low, "high": span.high, "interval": kind}


def independent(former: Figure, now: Figure) -> Span:
    """Interval of the difference of two figures of independent samples; none unless both have one."""
    if not all(math.isfinite(end) for figure in (former, now) for end in (figure.low, figure.high)):
        return Span()
    change = now.value - former.value
    down = math.hypot(now.value - now.low, former.high - former.value)
    up = math.hypot(now.high - now.value, former.value - former.low)
    return Span(low=change - down, high=change + up)


def _settings_rows(former: ComparedRun, now: ComparedRun, dataset: str) -> list[tuple[FormerRow, dict[str, Any]]]:
    """The signal, the rule and the chain of both sides, where they are not the same."""
    rows: list[tuple[FormerRow, dict[str, Any]]] = []
    sides = [_settings(run.document or {}, dataset) for run in (former, now)]
    for key in sides[1]:
        if sides[0].get(key) != sides[1][key]:
            row = FormerRow(dataset=dataset, figure=key, former=sides[0].get(key) or "–", now=sides[1][key] or "–")
            rows.append((row, {}))
    return rows


def _settings(document: dict[str, Any], dataset: str) -> dict[str, str]:
    part = document["pooled"] if dataset == "pooled" else document["datasets"][dataset]
    points = part.get("cascade") or [{}]
    best = ((document.get("tiers") or {}).get(dataset) or {}).get("best") or {}
    return {
        "signal": document.get("signal") or "",
        "rule": points[0].get("rule") or "",
        "chain": "-".join(map(str, best.get("chain") or [])),
        "thresholds of the chain": ", ".join(f"{t:.3g}" for t in best.get("thresholds") or []),
    }


def _words(results: Results, shared: list[str], paired: list[str], same_level: bool) -> list[str]:
    level = f"{100 * results.cfg.level:g} %"
    words = []
    if not same_level:
        words.append(f"No intervals: the former report has another level than {level}.")
    elif paired:
        of = "" if paired == shared else f" of {', '.join(paired)}"
        words.append(f"Paired {level} intervals{of}: both reports have the same test questions.")
    if same_level and paired != shared:
        of = ", ".join(name for name in shared if name not in paired)
        words.append(
            f"Independent {level} intervals of {of}: the former answers are gone or belong to other test questions, so "
            "that a difference of the questions counts as chance; on the same questions they are too wide."
        )
    if same_level and paired and any(results.chain(name) for name in shared):
        words.append("The figures of chains have independent intervals.")
    words.append("A star marks an interval that excludes 0. Thresholds have none.")
    missing = [name for name in results.everything if name not in shared]
    if missing:
        words.append(f"Not in the former report: {', '.join(missing)}.")
    return words
