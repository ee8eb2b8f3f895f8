"""Cascades of more than two tiers: a threshold for every tier but the last, chosen together.

A question starts at tier 0 and goes on to the next tier of the chain while the tier's confidence is below that tier's
threshold; every tier that answers is paid. Chains that leave a tier out are tried too, so the answer to "does the third
tier pay?" is a comparison of frontiers: with all tiers, and with each pair alone.

A tier without confidences (a plain LLM in the middle) cannot decide from its own answer. Then the question's first
confidence decides: it is routed past that tier where it lies below that tier's threshold.

Thresholds are taken from at most GRID quantiles of each tier's confidence on the calibration questions. Tried
combinations are the product of these; all of a chain are evaluated at once from counts, not question by question.
Legend: N questions, T tiers, M combinations.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from corea.answers.pairs import Pairs, pair
from corea.answers.table import Answers, signal_column
from corea.cascade.sweep import EVERYTHING
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.cascade_curve import pareto

GRID = 16
"""Thresholds a tier."""
RESAMPLES = 500


@dataclass(slots=True, kw_only=True)
class Stack:
    """N questions answered by T tiers."""

    tiers: list[int]
    confidence: np.ndarray
    """[T, N]; NaN missing, and everywhere for a tier that states none."""
    correct: np.ndarray
    """[T, N] bool."""
    cost: np.ndarray
    """[T, N]"""

    def where(self, mask: np.ndarray) -> Stack:
        """The questions where `mask` [N] holds."""
        parts = {name: getattr(self, name)[:, mask] for name in ("confidence", "correct", "cost")}
        return Stack(tiers=self.tiers, **parts)


@dataclass(slots=True, kw_only=True)
class TierResults:
    """All chains of one dataset: thresholds from the calibration questions, figures of the test questions."""

    frontier: pd.DataFrame
    """One row an operating point on some chain's calibration frontier: chain ("0-1-2"), thresholds, accuracy and cost
    on the test questions, calibration_accuracy, calibration_cost, on_frontier (over all chains, calibration)."""
    chosen: pd.DataFrame
    """One row a chain: its cheapest point that loses at most delta against the best tier alone on the calibration
    questions, with test accuracy and cost, their difference to the cheapest two-tier chain and its interval."""
    pays: str
    """Whether the further tiers pay, in a sentence."""


def stack(answers: Answers, signal: str, dataset: str) -> tuple[Stack, Pairs]:
    """Tiers of one dataset side by side, and the questions in their order."""
    frame = answers.frame[answers.frame["dataset"] == dataset]
    own = replace(answers, frame=frame)
    tiers = sorted(int(t) for t in frame["tier"].unique())
    wide: list[Pairs] = [pair(own, signal, tier) for tier in tiers[1:]]
    confidences = [wide[0].confidence]
    for tier in tiers[1:]:
        rows = frame[frame["tier"] == tier]
        confidences.append(rows.loc[~rows.duplicated("question_id"), signal_column(signal)].to_numpy(np.float64))
    return (
        Stack(
            tiers=tiers,
            confidence=np.stack(confidences),
            correct=np.stack([wide[0].slm_correct, *(p.llm_correct for p in wide)]),
            cost=np.stack([wide[0].slm_cost, *(p.llm_cost for p in wide)]),
        ),
        wide[0],
    )


def chains(tiers: int) -> list[tuple[int, ...]]:
    """Every chain of at least two tiers that starts at the first: (0, 1), (0, 2), (0, 1, 2), ..."""
    rest = range(1, tiers)
    return [(0, *c) for n in range(1, tiers) for c in itertools.combinations(rest, n)]


def candidates(confidence: np.ndarray) -> np.ndarray:
    """At most GRID thresholds of one tier: its values where they are few, else quantiles; both ends."""
    given = np.unique(confidence[~np.isnan(confidence)])
    if len(given) > GRID - 2:
        given = np.unique(np.quantile(confidence[~np.isnan(confidence)], np.linspace(0, 1, GRID - 2), method="lower"))
    return np.unique([0.0, *given, EVERYTHING])


def deciding(data: Stack, chain: tuple[int, ...]) -> np.ndarray:
    """[len(chain) - 1, N] confidence by which each tier but the last passes a question on."""
    own = data.confidence[list(chain[:-1])]
    silent = np.isnan(own).all(1)
    return np.where(silent[:, None], data.confidence[0], own)


def run_chain(data: Stack, chain: tuple[int, ...], thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Verdict and cost of every question [M, N] under thresholds [M, len(chain) - 1].

    Where a middle tier states no confidence, a question whose deciding confidence is below its threshold skips it.
    """
    confidence = deciding(data, chain)
    silent = np.isnan(data.confidence[list(chain[:-1])]).all(1)
    count = len(thresholds)
    going = np.ones((count, data.correct.shape[1]), bool)
    right, cost = np.zeros_like(going), np.zeros(going.shape)
    for i, tier in enumerate(chain):
        last = i == len(chain) - 1
        on = np.zeros_like(going) if last else ~(confidence[i] >= thresholds[:, i, None])
        paid = going & ~on if i and not last and silent[i] else going
        cost += paid * data.cost[tier]
        right |= going & ~on & data.correct[tier]
        going = going & on
    return right, cost


def measure_tiers(data: Stack, split: np.ndarray, cfg: CascadeConfig) -> TierResults | None:
    """Choose on the calibration questions, report on the test questions; None without either or with two tiers."""
    known, test = data.where(split == cfg.calibration_split), data.where(split == cfg.test_split)
    if len(data.tiers) < 3 or not known.correct.size or not test.correct.size:
        return None
    parts = [_points(known, test, chain) for chain in chains(len(data.tiers))]
    table = pd.concat(parts, ignore_index=True)
    table["on_frontier"] = pareto(table["calibration_cost"].to_numpy(), table["calibration_accuracy"].to_numpy())
    chosen = _chosen(table, known, test, cfg)
    names = {chain: "-".join(str(data.tiers[t]) for t in chain) for chain in chains(len(data.tiers))}
    for part in (table, chosen):
        part["chain"] = [names[c] for c in part["chain"]]
    return TierResults(frontier=table, chosen=chosen, pays=_pays(chosen))


def _points(known: Stack, test: Stack, chain: tuple[int, ...]) -> pd.DataFrame:
    """The calibration frontier of one chain."""
    grids = [candidates(c) for c in deciding(known, chain)]
    thresholds = np.array(list(itertools.product(*grids)))
    accuracy, cost = _means(known, chain, thresholds)
    keep = np.flatnonzero(pareto(cost, accuracy))
    test_accuracy, test_cost = _means(test, chain, thresholds[keep])
    return pd.DataFrame(
        {
            "chain": [chain] * len(keep),
            "thresholds": [tuple(map(float, t)) for t in thresholds[keep]],
            "accuracy": test_accuracy,
            "cost": test_cost,
            "calibration_accuracy": accuracy[keep],
            "calibration_cost": cost[keep],
        }
    )


def _means(data: Stack, chain: tuple[int, ...], thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean cost [M], some combinations at a time."""
    step = max(1, 4_000_000 // data.correct.shape[1])
    parts = []
    for start in range(0, len(thresholds), step):
        right, cost = run_chain(data, chain, thresholds[start : start + step])
        parts.append((right.mean(1), cost.mean(1)))
    accuracy, cost = zip(*parts, strict=True)
    return np.concatenate(accuracy), np.concatenate(cost)


def _chosen(table: pd.DataFrame, known: Stack, test: Stack, cfg: CascadeConfig) -> pd.DataFrame:
    """The cheapest point of each chain that loses at most delta against the best tier alone (calibration questions)."""
    best_tier = int(known.correct.mean(1).argmax())
    floor = known.correct[best_tier].mean() - cfg.delta - 1e-12
    rows, draws = [], []
    sample = np.random.default_rng(cfg.seed).integers(0, test.correct.shape[1], (RESAMPLES, test.correct.shape[1]))
    for chain, part in table.groupby("chain", sort=False):
        enough = part[part["calibration_accuracy"] >= floor]
        if not len(enough):
            continue
        row = enough.loc[enough["calibration_cost"].idxmin()].to_dict()
        right, cost = run_chain(test, chain, np.array([row["thresholds"]]))
        draws.append((right[0][sample].mean(1), cost[0][sample].mean(1)))
        rows.append(row)
    chosen = pd.DataFrame(rows, columns=table.columns)
    if not rows:
        return chosen
    two = [i for i, row in enumerate(rows) if len(row["chain"]) == 2]
    base = min(two, key=lambda i: rows[i]["calibration_cost"]) if two else 0
    tail = [(1 - cfg.level) / 2, (1 + cfg.level) / 2]
    for name, position in (("accuracy", 0), ("cost", 1)):
        chosen[f"{name}_change"] = [row[name] - rows[base][name] for row in rows]
        ends = [np.quantile(d[position] - draws[base][position], tail) for d in draws]
        chosen[f"{name}_change_lo"], chosen[f"{name}_change_hi"] = np.array(ends).T
    chosen["base"] = [i == base for i in range(len(rows))]
    chosen["length"] = [len(row["chain"]) for row in rows]
    return chosen


def _pays(chosen: pd.DataFrame) -> str:
    if not len(chosen):
        return "No chain reaches the accuracy asked for."
    base = chosen[chosen["base"]].iloc[0]
    more = chosen[chosen["length"] > 2]
    if not len(more) or base["cost"] == 0:
        return "No chain of more than two tiers reaches the accuracy asked for."
    best = more.loc[more["calibration_cost"].idxmin()]
    change, low, high = (100 * best[f"cost_change{end}"] / base["cost"] for end in ("", "_lo", "_hi"))
    text = f"{best['chain']} against {base['chain']}: cost {change:+.1f} % ({low:+.1f} to {high:+.1f})"
    text += f", pass@1 {100 * best['accuracy_change']:+.1f} points"
    if low == high == 0:
        return f"The further tier does not pay: the best thresholds of {best['chain']} do as {base['chain']} does."
    if high < 0:
        return f"The further tier pays: {text}."
    return f"The further tier {'does not pay' if low > 0 else 'cannot be told to pay'}: {text}."
