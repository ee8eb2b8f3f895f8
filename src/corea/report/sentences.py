"""Sentences about the results, shared by terminal and report."""

from __future__ import annotations

import math

from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.audit import sentence as audit_sentence
from corea.evaluation.dataset import Evaluation
from corea.evaluation.operation import includes
from corea.evaluation.points import Point
from corea.evaluation.results import Results
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report.chain_words import chain_sentence, chain_warnings
from corea.report.plot_tables import cost_text

MINUS = "\N{MINUS SIGN}"


def percent(value: float, signed: bool = True) -> str:
    """0.123 -> "+12.3 %"; unsigned "12.3 %"."""
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:{'+' if signed else ''}.1f} %".replace("-", MINUS)


def points(value: float) -> str:
    """0.012 -> "+1.2 points"."""
    return f"{100 * value:+.1f} points".replace("-", MINUS) if math.isfinite(value) else "–"


def span(figure: Figure, digits: int = 1) -> str:
    """The interval in per cent or points, "−0.3 to +1.1"; empty without one."""
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return ""
    return " to ".join(f"{100 * v:+.{digits}f}".replace("-", MINUS) for v in (figure.low, figure.high))


def headline(results: Results) -> str:
    """The primary dataset at the configured rule: with more than two tiers, its best chain."""
    return story(results, results.primary)


def story(results: Results, name: str) -> str:
    """One dataset at the configured rule."""
    evaluation, chain = results.everything[name], results.chain(name)
    if chain is None:
        return sentence(evaluation, evaluation.point(results.cfg.rule), results.cfg.level)
    cost, accuracy = chain.figures["cost_change"], chain.figures["accuracy_change"]
    words = _relative_cost(evaluation, cost, "than" if len(chain.tiers) > 1 else "than that")
    return chain_sentence(results, name, chain, words, _accuracy_words(accuracy, results.cfg.level))


def sentence(evaluation: Evaluation, point: Point, level: float) -> str:
    """Cost and accuracy of the cascade at one operating point, compared with the LLM alone."""
    if not point.figures:
        return f"{evaluation.name}: the rule {point.choice.rule} found no threshold: {point.choice.note}."
    sent = f"sends {percent(point.figures['deferral_rate'].value, signed=False)} of the questions to the LLM"
    cost = _cost_words(evaluation, point.figures["cost_change"])
    accuracy = _accuracy_words(point.figures["accuracy_change"], level)
    return f"{evaluation.name}: the cascade {sent} and {cost}; {accuracy}."


def _cost_words(evaluation: Evaluation, change: Figure) -> str:
    if not math.isfinite(change.value):
        return "has no cost to compare, since the LLM is free in this table"
    size, ends = percent(abs(change.value), signed=False), f" ({span(change)})" if span(change) else ""
    if evaluation.unit != USD:
        return f"needs {size} fewer LLM calls{ends}, without the small model's cost, which the table does not have"
    if change.value > 0:
        return f"COSTS {size} MORE than the LLM alone{ends}"
    return f"costs {size} less than the LLM alone{ends}"


def _relative_cost(evaluation: Evaluation, change: Figure, than: str) -> str:
    """Cost with its interval "costs 46.8 % (...) less than", to be followed by what it is compared with."""
    if not math.isfinite(change.value):
        return "has no cost to compare with that of"
    size, ends = percent(abs(change.value), signed=False), f" ({span(change)})" if span(change) else ""
    if evaluation.unit != USD:
        return f"needs {size}{ends} {'more' if change.value > 0 else 'fewer'} calls of models beyond tier 0 {than}"
    return f"COSTS {size}{ends} MORE {than}" if change.value > 0 else f"costs {size}{ends} less {than}"


def _accuracy_words(change: Figure, level: float) -> str:
    size = f"{100 * abs(change.value):.1f} points of pass@1"
    ends = f" ({100 * level:g} % interval {span(change)})" if span(change) else ""
    if change.low <= 0 <= change.high:
        return f"pass@1 changes by {points(change.value)}, within the noise{ends}"
    return f"it {'gains' if change.value > 0 else 'loses'} {size}{ends}"


def warnings(results: Results) -> list[str]:
    """Warnings by harm: accuracy lost beyond `delta`, then cost, then too few questions, then other findings."""
    found: dict[str, list[str]] = {"drop": [], "cost": [], "few": [], "other": []}
    if results.audit is not None and len(results.audit.findings):
        found["other"].append(audit_sentence(results.audit))
    for name, evaluation in results.everything.items():
        chain = results.chain(name)
        if chain is not None:
            drop, cost = chain_warnings(name, results, chain)
            found["drop"] += drop
            found["cost"] += cost
            continue
        found["drop"] += _drop_warnings(evaluation, results.cfg)
        found["cost"] += _cost_warnings(evaluation)
        note = evaluation.point(results.cfg.rule).choice.note
        if "more calibration questions" in note:
            found["few"].append(f"{name}: {note}")
        gain = evaluation.areas["area_gain"]
        if evaluation.small.figures["missing_confidence"].value == 1:
            found["other"].append(f"{name}: without any confidence of the small model the LLM gets every question")
        elif gain.high <= 0:
            found["other"].append(f"{name}: deferring by this confidence is worse than deferring at random")
        elif gain.low <= 0:
            text = "deferring by this confidence is not distinguishable from deferring at random"
            found["other"].append(f"{name}: {text}")
    return [text for kind in found.values() for text in kind]


def _drop_warnings(evaluation: Evaluation, cfg: CascadeConfig) -> list[str]:
    """Points whose drop is beyond `delta`, the interval included; the configured rule's first."""
    found = []
    for point in evaluation.points:
        rule = point.choice.rule
        wanted = rule == cfg.rule or point.chosen_on != evaluation.name
        if not (wanted and point.figures and point.figures["accuracy_change"].high < -cfg.delta):
            continue
        change = point.figures["accuracy_change"]
        of = "" if point.chosen_on == evaluation.name else f" that was chosen on {point.chosen_on}"
        found.append(
            f"{evaluation.name}: the threshold of {rule}{of} LOSES {100 * -change.value:.1f} points of pass@1 against "
            f"the LLM alone ({span(change)}); cascade.delta allows {100 * cfg.delta:g}"
        )
    return found


def _cost_warnings(evaluation: Evaluation) -> list[str]:
    return [
        f"{evaluation.name}: at the threshold of {p.choice.rule} this cascade costs "
        f"{percent(p.figures['cost_change'].value, signed=False)} more than the LLM alone"
        for p in evaluation.points
        if p.chosen_on == evaluation.name and p.costs_more
    ]


def settings(results: Results) -> str:
    """The settings of the evaluation in one line."""
    cfg, first = results.cfg, results.first
    known = f"{first.calibration_questions:,} calibration and " if first.calibration_questions else ""
    return (
        f"signal {cfg.signal}; rule {cfg.rule}; {known}{first.questions:,} test questions of {first.name}; "
        f"{100 * cfg.level:g} % intervals from {cfg.resamples:,} paired bootstrap resamples, seed {cfg.seed}, include "
        f"{includes(cfg, results.chain(results.primary) is not None)}; "
        f"LLM alone {cost_text(first.large['cost'].value, first.unit)}"
    )
