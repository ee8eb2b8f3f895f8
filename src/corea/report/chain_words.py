"""Chains of more than two tiers in words, and as rows for the terminal and the report."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from corea.cascade.chain_results import BestChain, TierResults
from corea.evaluation.results import Results
from corea.metrics.figures import Figure
from corea.prices import USD

MOST = 8
"""Maximum number of chains in a chart or in the terminal."""


def model_names(results: Results) -> dict[int, str]:
    """Tier -> name of its model, or "tier 3" if the table names no model or several."""
    known = results.answers.models
    return {
        tier: known[tier][0] if len(known.get(tier, [])) == 1 else f"tier {tier}"
        for tier in sorted({*known, *(t for found in results.tiers.values() for t in found.alone)})
    }


def chain_models(results: Results, best: BestChain) -> str:
    """ "llama-70b → llama-405b (tiers 3-4)" """
    names = model_names(results)
    numbers = "-".join(map(str, best.tiers))
    label = "tiers" if len(best.tiers) > 1 else "tier"
    joined = " → ".join(names[t] for t in best.tiers)
    return joined if joined == f"{label} {numbers}" else f"{joined} ({label} {numbers})"


def chain_sentence(results: Results, name: str, best: BestChain, cost_words: str, accuracy_words: str) -> str:
    """The headline of a dataset: the chain, what it saves and loses, and the share that each model answers."""
    chain, reference = chain_models(results, best), model_names(results)[best.reference]
    if best.tiers == [best.reference]:
        why = f": {best.choice.note}" if best.choice.note else ", which no chain undercuts"
        return f"{name}: the best chain by {best.choice.rule} is {chain} alone, the most accurate tier{why}."
    if len(best.tiers) == 1:
        return f"{name}: {chain} alone {cost_words} of {reference}, the most accurate tier; {accuracy_words}."
    names = [model_names(results)[tier] for tier in best.tiers]
    shares = ", ".join(f"{model} {100 * share:.0f} %" for model, share in zip(names, best.answered, strict=True))
    return (
        f"{name}: the best chain by {best.choice.rule}, {chain}, {cost_words} {reference} alone, the most accurate "
        f"tier; {accuracy_words}. Answered by {shares}."
    )


def thresholds_text(thresholds: tuple[float, ...] | list[float]) -> str:
    """Thresholds of a chain: "0.85, all on"; "–" for a tier alone."""
    return ", ".join("all on" if t > 1 else f"{t:.3g}" for t in thresholds) or "–"


def shown_rows(tiers: TierResults, most: int = MOST) -> pd.DataFrame:
    """The rows to show of the table of chains: the chosen chain and the best others by the rule."""
    return tiers.chosen.head(most)


def shown_chains(tiers: TierResults, most: int = MOST) -> list[str]:
    """Chains for a chart: the chosen one, then those with most points on the frontier of all."""
    on = tiers.frontier[tiers.frontier["on_frontier"]]["chain"].value_counts(sort=False)
    ranked = list(on.sort_values(ascending=False, kind="stable").index)
    first = [tiers.best.name] if tiers.best is not None and len(tiers.best.tiers) > 1 else []
    return sorted([*first, *(c for c in ranked if c not in first)][:most])


def change_figures(row: Any) -> tuple[Figure, Figure]:
    """accuracy_change and cost_change of a row of the table of chains."""
    return (
        Figure(value=row.accuracy_change, low=row.accuracy_change_lo, high=row.accuracy_change_hi, n=0),
        Figure(value=row.cost_change, low=row.cost_change_lo, high=row.cost_change_hi, n=0),
    )


def chain_warnings(name: str, results: Results, best: BestChain) -> tuple[list[str], list[str]]:
    """Warnings about the chosen chain: drops beyond `delta` (the interval included), and higher costs."""
    drops, costs = [], []
    drop, delta = best.figures["accuracy_change"], results.cfg.delta
    reference = model_names(results)[best.reference]
    if drop.high < -delta:
        drops.append(
            f"{name}: the chosen chain LOSES {-100 * drop.value:.1f} points of pass@1 against {reference} alone on the "
            f"test questions; cascade.delta allows {100 * delta:g}"
        )
    if best.costs_more:
        cost = best.figures["cost_change"].value
        costs.append(f"{name}: the chosen chain costs {100 * cost:.1f} % more than {reference} alone")
    return drops, costs


def cost_title(unit: str) -> str:
    """Head of a column of relative costs."""
    return "cost, %" if unit == USD else "LLM calls, %"


def share_of(value: float, whole: float) -> float:
    """value / whole; NaN if `whole` is 0."""
    return value / whole if whole > 0 else math.nan
