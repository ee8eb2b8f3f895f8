"""Rules that choose a chain and its thresholds on the calibration questions.

The reference is the most accurate tier alone on the calibration questions (of equal ones the cheapest). It takes the
place of the LLM alone in every rule:

llm_accuracy  every threshold is the reference's pass@1 and the chain ends in the reference: the cheapest such chain
              that loses at most delta on the calibration questions; where none does, the most accurate one
max_drop      the cheapest chain whose pass@1 is at least the reference's less delta. With `confidence`: on new
              questions, with that probability (chain_promises.py). Without: on the calibration questions
budget        the most accurate chain whose cost is at most the budget; `budget` is a share of the reference's cost
guarantee     the cheapest chain that keeps the promise on new questions with probability 1 - alpha; the chain ends in
              the reference. kept_accuracy is about the answers of all tiers but the last, for chains of two tiers
fixed         no chain: one threshold says nothing about several tiers

Short chains win close races: llm_accuracy, max_drop without confidence and budget take the shortest chain that is at
most one standard error of the paired difference worse than the best. Where the data cannot tell chains apart, longer
ones look better only because there are more of them.

Legend: N questions, T tiers, k thresholds of a chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from corea.cascade.chain_promises import Promised, promised_chains
from corea.cascade.chain_search import ChainPoints
from corea.cascade.chains import Chain, Stack, run_chain
from corea.cascade.promised_threshold import Promise
from corea.config.cascade_schema import CascadeConfig

Candidate = tuple[Chain, np.ndarray]
"""A chain and its thresholds [k]."""
ROUNDING = 1e-12
"""A share that equals a limit on paper must not fail by rounding."""


@dataclass(slots=True, kw_only=True)
class ChainChoice:
    """A chain, its thresholds, and where they come from."""

    rule: str
    chain: Chain | None
    """Positions of its tiers; None: the rule found none, `note` says why."""
    thresholds: np.ndarray
    """[k]"""
    guarantee: str
    """What the rule promises on new questions."""
    parameters: dict[str, float] = field(default_factory=dict)
    note: str = ""
    candidates: list[Candidate] = field(default_factory=list)
    """The point of every chain that the rule allows, the chosen one among them."""


def reference_tier(known: Stack) -> int:
    """Position of the most accurate tier; of equal ones the cheapest."""
    return int(np.lexsort((known.cost.mean(1), -known.correct.sum(1)))[0])


def choose_chain(
    rule: str, known: Stack, found: list[ChainPoints], silent: np.ndarray, cfg: CascadeConfig
) -> ChainChoice:
    """Apply `rule` to the calibration questions and the frontiers of all chains on them."""
    if rule == "fixed":
        rows = [(p, cheapest_within(known, p, cfg.delta)) for p in found]
        candidates = [(p.chain, p.thresholds[row]) for p, row in rows if row is not None]
        return replace(
            _none(rule, "one threshold says nothing about a chain of several tiers", {}), candidates=candidates
        )
    rules = {"llm_accuracy": _llm_accuracy, "max_drop": _max_drop, "budget": _budget, "guarantee": _guarantee}
    return rules[rule](known, found, silent, cfg)


def _none(rule: str, note: str, parameters: dict[str, float]) -> ChainChoice:
    return ChainChoice(
        rule=rule, chain=None, thresholds=np.zeros(0), guarantee="none", parameters=parameters, note=note
    )


def cheapest_within(known: Stack, points: ChainPoints, delta: float) -> int | None:
    """Row of the cheapest point that loses at most `delta` against the reference on the calibration questions."""
    floor = known.correct[reference_tier(known)].mean() - delta - ROUNDING
    rows = np.flatnonzero(points.accuracy >= floor)
    return int(rows[points.cost[rows].argmin()]) if len(rows) else None


def affordable(known: Stack, points: ChainPoints, cfg: CascadeConfig) -> int | None:
    """Row of the most accurate point within the budget; of equal ones the cheapest."""
    rows = np.flatnonzero(points.cost <= budget_limit(known, cfg) * (1 + ROUNDING))
    return int(rows[np.lexsort((points.cost[rows], -points.accuracy[rows]))[0]]) if len(rows) else None


def budget_limit(known: Stack, cfg: CascadeConfig) -> float:
    """Most that a question may cost on average."""
    if cfg.budget_usd is not None:
        return cfg.budget_usd / 1000
    return cfg.budget * float(known.cost[reference_tier(known)].mean())


def _llm_accuracy(known: Stack, found: list[ChainPoints], silent: np.ndarray, cfg: CascadeConfig) -> ChainChoice:
    reference = reference_tier(known)
    threshold = float(known.correct[reference].mean())
    within, all_of = [], []
    for points in found:
        inner = points.chain[:-1]
        if points.chain[-1] != reference or not inner or silent[list(inner)].any():
            continue
        thresholds = np.full((1, len(inner)), threshold)
        right, cost = run_chain(known, points.chain, thresholds, silent)
        here = ChainPoints(chain=points.chain, thresholds=thresholds, accuracy=right.mean(1), cost=cost.mean(1))
        all_of.append((points.chain, thresholds[0]))
        if cheapest_within(known, here, cfg.delta) is not None:
            within.append(all_of[-1])
    goal = "cost" if within else "accuracy"
    chain, thresholds = _shortest(known, within or all_of or [((reference,), np.zeros(0))], silent, goal)
    return ChainChoice(
        rule="llm_accuracy",
        chain=chain,
        thresholds=thresholds,
        guarantee="none; if confidences are calibrated, kept answers are right at least as often as the most accurate "
        "tier's",
        parameters={"delta": cfg.delta},
        candidates=all_of,
    )


def _max_drop(known: Stack, found: list[ChainPoints], silent: np.ndarray, cfg: CascadeConfig) -> ChainChoice:
    if cfg.confidence is not None:
        parameters = {"delta": cfg.delta, "confidence": cfg.confidence}
        return _promised("max_drop", "net", cfg.delta, 1 - cfg.confidence, known, silent, cfg, parameters)
    rows = [(p, cheapest_within(known, p, cfg.delta)) for p in found]
    candidates = [(p.chain, p.thresholds[row]) for p, row in rows if row is not None]
    chain, thresholds = _shortest(known, candidates, silent, "cost")  # the reference is always there
    return ChainChoice(
        rule="max_drop",
        chain=chain,
        thresholds=thresholds,
        guarantee="on the calibration split pass@1 is at least that of the most accurate tier less "
        f"{cfg.delta:g}; none on new questions",
        parameters={"delta": cfg.delta},
        candidates=candidates,
    )


def _budget(known: Stack, found: list[ChainPoints], silent: np.ndarray, cfg: CascadeConfig) -> ChainChoice:
    parameters = {"budget_usd": cfg.budget_usd} if cfg.budget_usd is not None else {"budget": cfg.budget}
    rows = [(p, affordable(known, p, cfg)) for p in found]
    candidates = [(p.chain, p.thresholds[row]) for p, row in rows if row is not None]
    if not candidates:
        least = 1000 * min(p.cost.min() for p in found)
        return _none("budget", f"the cheapest chain costs {least:.4g} per 1,000 questions", parameters)
    chain, thresholds = _shortest(known, candidates, silent, "accuracy")
    words = (
        f"${cfg.budget_usd:g} per 1,000 questions"
        if cfg.budget_usd is not None
        else f"{cfg.budget:g} of the cost of the most accurate tier alone"
    )
    return ChainChoice(
        rule="budget",
        chain=chain,
        thresholds=thresholds,
        guarantee=f"on the calibration split it costs at most {words}; none on new questions",
        parameters=parameters,
        candidates=candidates,
    )


def _guarantee(known: Stack, found: list[ChainPoints], silent: np.ndarray, cfg: CascadeConfig) -> ChainChoice:
    kept = cfg.guarantee == "kept_accuracy"
    target = cfg.kept_accuracy if kept else cfg.delta
    parameters = {"kept_accuracy" if kept else "delta": target, "alpha": cfg.alpha}
    return _promised("guarantee", cfg.guarantee, target, cfg.alpha, known, silent, cfg, parameters)


def _promised(
    rule: str,
    of: str,
    target: float,
    alpha: float,
    known: Stack,
    silent: np.ndarray,
    cfg: CascadeConfig,
    parameters: dict[str, float],
) -> ChainChoice:
    """The cheapest chain that keeps the promise; the reference alone where no cheaper one does."""
    reference = reference_tier(known)
    promise = Promise(of=of, target=target, alpha=alpha)
    valid = promised_chains(known, promise, reference, silent, cfg.thresholds, cfg.seed)
    alone = Promised(chain=(reference,), thresholds=np.zeros(0), cost=float(known.cost[reference].mean()))
    best = min([alone, *valid], key=lambda p: (p.cost, len(p.chain)))
    words = (
        f"kept answers are right at least {target:g} of the time"
        if of == "kept_accuracy"
        else f"pass@1 is at least that of tier {known.tiers[reference]} less {target:g}"
    )
    note = "" if best.chain != alone.chain else _shortage(known, reference, words)
    return ChainChoice(
        rule=rule,
        chain=best.chain,
        thresholds=best.thresholds,
        guarantee=f"with probability {1 - alpha:g} over the draw of the calibration questions, on new questions like "
        f"them {words} (exact tests, corrected for the choice among chains)",
        parameters=parameters,
        note=note,
        candidates=[(p.chain, p.thresholds) for p in [alone, *valid]],
    )


def _shortage(known: Stack, reference: int, words: str) -> str:
    return (
        f"no cheaper chain is shown to keep the promise that {words} with {len(known):,} calibration questions; tier "
        f"{known.tiers[reference]} alone keeps it"
    )


def _shortest(known: Stack, candidates: list[Candidate], silent: np.ndarray, goal: str) -> Candidate:
    """The shortest candidate that is at most one standard error worse than the best in `goal`: cost or accuracy."""
    losses = []
    for chain, thresholds in candidates:
        right, cost = run_chain(known, chain, thresholds[None], silent)
        losses.append(cost[0] if goal == "cost" else -right[0].astype(np.float64))
    means, lengths = [v.mean() for v in losses], [len(chain) for chain, _ in candidates]
    best = losses[int(np.lexsort((lengths, means))[0])]
    for i in np.lexsort((means, lengths)):
        gap = losses[i] - best
        if gap.mean() <= gap.std() / np.sqrt(len(gap)) + ROUNDING * abs(best.mean()):
            return candidates[i]
    raise AssertionError("the best candidate is within its own error")
