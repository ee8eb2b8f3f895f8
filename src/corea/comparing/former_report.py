"""The results of an evaluation against a former report: its run folder, or its metrics.json.

Where the former answers table is still there and has the same test questions, the interval of a difference is paired:
both sides are measured on the same resampled questions (paired_figures.py; chains of tiers: paired_chains.py). Else it
is that of independent samples: the half-widths of the two intervals add in quadrature on each side (Zou and Donner
2008, "MOVER"), which needs nothing but the two reports. On the same questions that one is valid and too wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from corea.answers.pairs import Pairs
from corea.comparing.figure_text import number, span_text
from corea.comparing.metric_names import metrics_of
from corea.comparing.paired_chains import ChainSide, chain_spans
from corea.comparing.paired_figures import answers_of, draw_figures, over_questions
from corea.comparing.run_sources import FIGURES, ComparedRun, read_document, read_folder
from corea.comparing.seed_figures import Span
from corea.config.cascade_schema import CascadeConfig
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluation.question_sets import QuestionSets, question_sets
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
    sides = _sides(former, now, cfg) if same_level else None
    lines, paired, paired_chains = [], [], []
    for name in shared:
        spans = _paired(*sides, name, cfg) if sides is not None else {}
        paired += [name] if spans else []
        if spans and sides is not None:
            of_chains = chain_spans(sides[0].chains, sides[1].chains, name, cfg.cascade.level)
            paired_chains += [name] if of_chains else []
            spans |= of_chains
        lines += _settings_rows(former, now, name)
        for metric in HEADLINE:
            one, other = (side[name].get(metric) for side in figures)
            if one is not None and other is not None:
                lines.append(_line(name, metric, one, other, spans.get(metric, Span()), same_level))
    return FormerSection(
        name="/".join(Path(cfg.former).absolute().parts[-2:]),
        words=_words(results, shared, paired, paired_chains, same_level),
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


@dataclass(slots=True, kw_only=True)
class _Side:
    """One of the two reports with its answers."""

    document: dict[str, Any]
    cascade: CascadeConfig
    sets: QuestionSets
    chains: ChainSide


def _sides(former: ComparedRun, now: ComparedRun, cfg: EvaluateConfig) -> tuple[_Side, _Side] | None:
    """The answers of both sides; None where the former answers table is gone."""
    if former.evaluation is None:
        return None
    return _side(former, cfg), _side(now, cfg)


def _side(run: ComparedRun, cfg: EvaluateConfig) -> _Side:
    answers, cascade = answers_of(run, cfg.cascade)
    sets = question_sets(answers, None, cascade)
    return _Side(
        document=run.document or {},
        cascade=cascade,
        sets=sets,
        chains=ChainSide(run.document or {}, answers, sets.names, cascade),
    )


def _paired(former: _Side, now: _Side, dataset: str, cfg: EvaluateConfig) -> dict[str, Span]:
    """Metric -> paired interval; empty where the test questions are not the same, or the answers have changed."""
    draws, ids = [], []
    for side in (former, now):
        test, known, _ = side.sets.parts(dataset, side.cascade)
        if not _as_reported(side.document, dataset, test):
            return {}
        ids.append(list(map(str, test.question_id)))
        draws.append((test, known, side.cascade))
    if ids[0] != ids[1] or not ids[0]:
        return {}
    before, after = (draw_figures(test, known, dataset, cascade, ()) for test, known, cascade in draws)
    return {m: over_questions(m, [after], [before], cfg.cascade.level, True) for m in HEADLINE}


def _as_reported(document: dict[str, Any], dataset: str, test: Pairs) -> bool:
    """Whether the answers give the accuracies of both models that the report has."""
    part = _part(document, dataset)
    return all(
        abs(float(right.mean()) - part[system]["accuracy"]["value"]) < 1e-9
        for system, right in (("slm", test.slm_correct), ("llm", test.llm_correct))
    )


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


def _part(document: dict[str, Any], dataset: str) -> dict[str, Any]:
    return document["pooled"] if dataset == "pooled" else document["datasets"][dataset]


def _settings(document: dict[str, Any], dataset: str) -> dict[str, str]:
    part = _part(document, dataset)
    points = part.get("cascade") or [{}]
    best = ((document.get("tiers") or {}).get(dataset) or {}).get("best") or {}
    return {
        "signal": document.get("signal") or "",
        "rule": points[0].get("rule") or "",
        "chain": "-".join(map(str, best.get("chain") or [])),
        "thresholds of the chain": ", ".join(f"{t:.3g}" for t in best.get("thresholds") or []),
    }


def _words(
    results: Results, shared: list[str], paired: list[str], paired_chains: list[str], same_level: bool
) -> list[str]:
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
            f"Independent {level} intervals of {of}: the former answers are gone, have changed or belong to other test "
            "questions, so that a difference of the questions counts as chance; on the same ones they are too wide."
        )
    apart = [name for name in paired if results.chain(name) and name not in paired_chains]
    if same_level and apart:
        words.append(
            f"The figures of chains of {', '.join(apart)} have independent intervals: the former report has no such "
            "chain, or other tiers."
        )
    words.append("A star marks an interval that excludes 0. Thresholds have none.")
    missing = [name for name in results.everything if name not in shared]
    if missing:
        words.append(f"Not in the former report: {', '.join(missing)}.")
    return words
