"""From an answers table to all results of an evaluation; reads files, writes none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from corea.answers.pairs import pair
from corea.answers.served_answers import SERVED
from corea.answers.table import Answers
from corea.cascade.chain_results import TierResults, measure_tiers
from corea.cascade.chains import Stack, joined, stack
from corea.cascade.combined import COMBINED, Stacks
from corea.config.cascade_schema import CascadeConfig
from corea.config.roots import EvaluateConfig
from corea.evaluation.audit import Audit, Regrader, moves
from corea.evaluation.dataset import Evaluation, evaluate_dataset
from corea.evaluation.inputs import Inputs, read_inputs
from corea.evaluation.points import Point
from corea.evaluation.question_sets import POOLED, QuestionSets, add_combined, maps_of, question_sets, with_splits
from corea.evaluation.results import FINDS, AnswersFile, Results, models_of
from corea.evaluation.served_log_point import comparison, with_split
from corea.evaluation.signal_comparison import SignalRow, compare, variants
from corea.tabular_arrow import file_hash


def run_evaluation(cfg: EvaluateConfig, regrade: Regrader | None = None) -> Results:
    """Read `cfg.answers` (and the tables beside it) and measure every dataset. Raises UserError for a bad table.

    `regrade` grades the recorded answers again, as `cfg.audit` asks.
    """
    cfg = with_split(cfg)
    inputs, stacks = _combined(read_inputs(cfg, regrade), cfg.cascade)
    questions = question_sets(inputs.answers, inputs.before, cfg.cascade)
    datasets = _evaluate(questions, cfg.cascade)
    pooled = datasets.pop(POOLED)
    signals = _compare(inputs.answers, questions, cfg.cascade) if cfg.cascade.compare else {}
    everything = {**datasets, POOLED: pooled}
    _name_signals_that_pass(everything, signals)
    results = Results(
        answers=_describe(inputs.answers),
        cfg=cfg.cascade,
        datasets=datasets,
        pooled=pooled,
        primary=questions.names[0],
        notes=[*questions.notes, *_without_ece_interval(everything)],
        tiers=_tiers(inputs.answers, questions.names, cfg.cascade),
        audit=_audit(inputs, questions.names, cfg),
        signals=signals,
        training=inputs.training,
        maps=maps_of(questions, stacks, cfg.cascade),
    )
    results.notes += comparison(results)
    return results


def _combined(inputs: Inputs, cfg: CascadeConfig) -> tuple[Inputs, Stacks]:
    """The tables with the signal `combined`, each fitted with its own verdicts, and the stacks of the first one."""
    answers, stacks = add_combined(inputs.answers, None, cfg)
    before = None if inputs.before is None else add_combined(answers, inputs.before, cfg)[0]
    recorded, regraded = inputs.recorded, inputs.regraded
    if regraded is not None and cfg.signal == COMBINED:
        recorded, regraded = (add_combined(table, None, cfg)[0] for table in (recorded, regraded))
    return replace(inputs, answers=answers, before=before, recorded=recorded, regraded=regraded), stacks


def _evaluate(questions: QuestionSets, cfg: CascadeConfig) -> dict[str, Evaluation]:
    """Each dataset, then POOLED: all as one. The point of the first dataset is also tried on the others."""
    found: dict[str, Evaluation] = {}
    transferred: Point | None = None
    for name in questions.names:
        test, known, before = questions.parts(name, cfg)
        found[name] = evaluate_dataset(name, test, known, before, cfg, transferred)
        if len(found) == 1 and found[name].point(cfg.rule).figures:
            transferred = found[name].point(cfg.rule)
    if len(found) == 1:
        return {**found, POOLED: found[questions.names[0]]}
    return {**found, POOLED: evaluate_dataset(POOLED, *questions.parts(POOLED, cfg), cfg)}


def _without_ece_interval(evaluations: dict[str, Evaluation]) -> list[str]:
    """Why datasets have no interval of ECE."""
    reasons = [e.small.no_interval for e in evaluations.values() if e.small.no_interval]
    return list(dict.fromkeys(reasons))


def _name_signals_that_pass(evaluations: dict[str, Evaluation], signals: dict[str, list[SignalRow]]) -> None:
    """Where a rule finds no threshold, its note names the signals of which it finds one."""
    for name, rows in signals.items():
        for kind in ("point", "safe"):
            own, *others = (getattr(row, kind) for row in rows)
            passing = {row.name: p for row, p in zip(rows[1:], others, strict=True) if p.choice.threshold is not None}
            choice = evaluations[name].point(own.choice.rule).choice
            if choice.threshold is None and passing and FINDS not in choice.note:
                best = min(passing, key=lambda signal: passing[signal].pick.cost_change)
                more = f" and {len(passing) - 1} others" if len(passing) > 1 else ""
                choice.note += f"{FINDS}{best}{more}"


def _describe(answers: Answers) -> AnswersFile:
    return AnswersFile(
        path=answers.path,
        sha256=answers.meta[SERVED]["sha256"] if SERVED in answers.meta else file_hash(answers.path),
        rows=len(answers.frame),
        models=models_of(answers),
        meta=answers.meta,
    )


def _compare(answers: Answers, questions: QuestionSets, cfg: CascadeConfig) -> dict[str, list[SignalRow]]:
    """All signals of the table on the same questions, raw and recalibrated; the configured one first."""
    raw = {cfg.signal: questions.raw}
    for signal in answers.signals:
        if signal != cfg.signal:
            raw[signal] = with_splits(pair(answers, signal, cfg.large), cfg, answers, [], signal)
    found = variants(raw, cfg)
    if len(found) < 2:
        return {}
    names = [*questions.names, *([POOLED] if len(questions.names) > 1 else [])]
    return {name: compare(found, questions.inside(name), name, cfg) for name in names}


def _tiers(answers: Answers, names: list[str], cfg: CascadeConfig) -> dict[str, TierResults]:
    """Chains of the datasets that have more than two tiers, and of all together, by the raw signal."""
    parts: dict[str, tuple[Stack, np.ndarray]] = {}
    for name in names:
        data, questions = stack(answers, cfg.signal, name, cfg.large)
        if len(data.tiers) > 2:
            ids = questions.question_id
            divided = with_splits(questions, cfg, answers, [])  # may leave questions out
            parts[name] = (data.where(np.isin(ids, divided.question_id)), divided.split)
    if len(parts) == len(names) > 1 and len({tuple(data.tiers) for data, _ in parts.values()}) == 1:
        stacks, splits = zip(*parts.values(), strict=True)
        parts[POOLED] = (joined(stacks), np.concatenate(splits))
    measured = {name: measure_tiers(data, split, cfg) for name, (data, split) in parts.items()}
    return {name: found for name, found in measured.items() if found is not None}


def _audit(inputs: Inputs, names: list[str], cfg: EvaluateConfig) -> Audit | None:
    """Every dataset with both verdicts and the raw signal; None without an audit."""
    if inputs.regraded is None or inputs.findings is None:
        return None
    cascade = cfg.cascade
    now, old = (
        with_splits(pair(a, cascade.signal, cascade.large), cascade, a, []) for a in (inputs.regraded, inputs.recorded)
    )
    both = QuestionSets(now=now, raw=now, before=old, names=names, notes=[])
    evaluations, moved = {}, []
    for name in [*names, *([POOLED] if len(names) > 1 else [])]:
        test, known, recorded = both.parts(name, cascade)
        assert recorded is not None, "evaluated with both verdicts"
        evaluations[name] = evaluate_dataset(name, test, known, recorded, cascade)
        moved.append(moves(name, evaluations[name], recorded, cascade))
    return Audit(
        grader=str(cfg.audit),
        graded=len(inputs.recorded.frame),
        findings=inputs.findings,
        evaluations=evaluations,
        moves=pd.concat(moved, ignore_index=True),
    )
