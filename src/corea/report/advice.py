"""What to do, one line per dataset: which signal, rule and threshold, what they save at what drop, how sure that is,
and how many more questions would settle it."""

from __future__ import annotations

import math

from corea.cascade.rules import promise_of
from corea.evaluation.results import FINDS, Results
from corea.evaluation.signal_comparison import SAFE
from corea.metrics.figures import Figure
from corea.prices import USD
from corea.report.sentences import percent, points, span
from corea.report.settling import settling_words


def advice(results: Results) -> list[str]:
    """One line per dataset; the chain where it has more than two tiers."""
    return [_chain(results, name) if results.chain(name) else _two_tiers(results, name) for name in results.datasets]


def _chain(results: Results, name: str) -> str:
    chain = results.chain(name)
    assert chain is not None
    if len(chain.tiers) == 1:
        return f"{name}: use tier {chain.tiers[0]} alone; {chain.choice.note or 'no chain is better by the rule'}."
    if chain.costs_more:
        more = percent(chain.figures["cost_change"].value, signed=False)
        why = f"the chain that {chain.choice.rule} chooses, {chain.name}, costs {more} more on the test questions"
        return f"{name}: use tier {chain.reference} alone: {why}."
    thresholds = ", ".join(f"{t:.3g}" for t in chain.thresholds)
    what = f"use the tiers {chain.name}, signal {results.cfg.signal}, rule {chain.choice.rule}, thresholds {thresholds}"
    settled = _settled(chain.figures, results, chain.choice.rule)
    return f"{name}: {what}: {_saves(chain.figures, results)}; promise: {chain.choice.guarantee}{settled}."


def _two_tiers(results: Results, name: str) -> str:
    """Of the signals with a threshold by SAFE, the one that saves most on the calibration questions."""
    cfg = results.cfg
    own = results.datasets[name].point(SAFE)
    safe = {_label(results): own}
    for row in results.signals.get(name, [])[1:]:
        safe[row.name] = row.safe
    found = {label: p for label, p in safe.items() if p.pick.cost_change < 0}
    if not found:
        known = results.datasets[name].calibration_questions
        why = own.choice.note.split(FINDS)[0] or "no threshold saves anything"
        with_so_many = f"with {known:,} calibration questions " if known else ""
        return f"{name}: use the LLM alone: {with_so_many}{why}."
    label = min(found, key=lambda key: found[key].pick.cost_change)
    point = found[label]
    chosen = f", chosen among {len(safe)} signals on the calibration questions" if label != _label(results) else ""
    signal, _, recalibrate = label.partition(", ")
    keys = f"cascade.signal={signal}" + (f" cascade.recalibrate={recalibrate}" if recalibrate else "")
    keys += f" cascade.rule={SAFE} cascade.confidence={cfg.confidence or 'null'}"
    threshold = f"threshold {point.choice.threshold:.3g}{chosen}"
    sure = f"{_sure(results)}{_settled(point.figures, results, SAFE)}"
    return f"{name}: use {keys} ({threshold}): {_saves(point.figures, results)}; {sure}."


def _label(results: Results) -> str:
    cfg = results.cfg
    return cfg.signal if cfg.recalibrate == "none" else f"{cfg.signal}, {cfg.recalibrate}"


def _saves(figures: dict[str, Figure], results: Results) -> str:
    """Cost and accuracy on the test questions, with their intervals."""
    cost, drop = figures["cost_change"], figures["accuracy_change"]
    change = f"pass@1 by {points(drop.value)}{_interval(drop)}"
    if not math.isfinite(cost.value):
        return f"it changes {change} on the test questions"
    kind = "cost" if results.pooled.unit == USD else "LLM calls"
    return f"it changes the {kind} by {percent(cost.value)}{_interval(cost)} and {change} on the test questions"


def _settled(figures: dict[str, Figure], results: Results, rule: str) -> str:
    """What the test questions say about the allowed drop; "" for rules that allow none in particular."""
    words = settling_words(figures["accuracy_change"], results.cfg.delta) if rule in (SAFE, "llm_accuracy") else ""
    return f"; {words}" if words else ""


def _interval(figure: Figure) -> str:
    return f" ({span(figure)})" if span(figure) else ""


def _sure(results: Results) -> str:
    promise = promise_of(SAFE, results.cfg)
    if promise is None:
        return "nothing is promised for new questions"
    return (
        f"the calibration questions show a drop of at most {100 * promise.target:g} points at confidence "
        f"{1 - promise.alpha:g}"
    )
