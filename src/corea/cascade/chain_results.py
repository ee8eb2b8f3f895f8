"""All chains of one dataset: chosen on the calibration questions, measured on the test questions.

Intervals hold for the chain and the thresholds as chosen: only test questions are resampled. The resamples are paired,
so differences between chains and tiers are too.

Legend: N test questions, C chains, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from corea.cascade.chain_choice import ChainChoice, choose_chain, reference_tier
from corea.cascade.chain_search import ChainPoints, search
from corea.cascade.chains import Chain, Stack, answering, chains, deciders, run_chain
from corea.config.cascade_schema import CascadeConfig
from corea.metrics.bootstrap import CHUNK
from corea.metrics.cascade_curve import pareto
from corea.metrics.figures import Figure, figures_of

SHOWN = 100
"""Points of the frontier of each chain that are measured on the test questions."""


@dataclass(slots=True, kw_only=True)
class BestChain:
    """The chain that the configured rule chooses, on the test questions."""

    choice: ChainChoice
    tiers: list[int]
    """Numbers of its tiers."""
    thresholds: list[float]
    """One per tier but the last."""
    deciders: list[int]
    """Number of the tier whose confidence is compared with each threshold."""
    reference: int
    """The most accurate tier alone on the calibration questions: changes are against it."""
    figures: dict[str, Figure]
    """accuracy, cost, deferral_rate (share that the first tier passes on), accuracy_change, cost_change (relative:
    -0.25 saves a quarter), reference_accuracy, reference_cost."""
    answered: list[float]
    """Share of the questions that each tier of the chain answers."""
    calibration_questions: int
    confidences: dict[int, np.ndarray] = field(repr=False)
    """Tier of the chain but the last -> its confidences on the calibration questions."""

    @property
    def name(self) -> str:
        """ "3-4" """
        return chain_name(self.tiers)

    @property
    def costs_more(self) -> bool:
        """True where the chain costs more than the reference alone."""
        return self.figures["cost_change"].value > 0


@dataclass(slots=True, kw_only=True)
class TierResults:
    """All chains of one dataset."""

    frontier: pd.DataFrame
    """Per chain up to SHOWN points of its calibration frontier: chain ("0-1-2"), thresholds, accuracy and cost on the
    test questions, calibration_accuracy, calibration_cost, on_frontier (over all chains, calibration)."""
    chosen: pd.DataFrame
    """One row per chain that the rule allows, with its thresholds by the rule (fixed: the cheapest that lose at most
    delta on the calibration questions): the chosen one, then the best ones there. Columns of `frontier`, length, best
    (the chosen one), and with _lo and _hi accuracy_change and cost_change against `reference`."""
    pays: str
    """Whether a third tier pays, in a sentence; empty where there is nothing to compare."""
    rule: str
    reference: int
    """The most accurate tier alone on the calibration questions."""
    best: BestChain | None
    """None where the rule chooses no chain; `note` says why."""
    note: str
    alone: dict[int, tuple[float, float]]
    """Tier -> its accuracy and mean cost alone on the test questions."""


def chain_name(tiers: list[int]) -> str:
    """[3, 4] -> "3-4"; [4] -> "4 alone"."""
    return "-".join(map(str, tiers)) if len(tiers) > 1 else f"{tiers[0]} alone"


def measure_tiers(data: Stack, split: np.ndarray, cfg: CascadeConfig) -> TierResults | None:
    """Choose on the calibration questions, measure on the test questions.

    None with two tiers, or without calibration or test questions. `split` is [N].
    """
    known, test = data.where(split == cfg.calibration_split), data.where(split == cfg.test_split)
    if len(data.tiers) < 3 or not len(known) or not len(test):
        return None
    silent = known.silent
    found = [search(known, chain, silent, cfg.thresholds) for chain in chains(len(data.tiers), silent)]
    choice = choose_chain(cfg.rule, known, found, silent, cfg)
    reference = reference_tier(known)
    picks = _picks(known, choice, silent, cfg)
    measured = _measure(test, [(p.chain, p.thresholds[0]) for p in picks] + [((reference,), np.zeros(0))], silent, cfg)
    frontier = pd.concat([_frontier_rows(p, test, silent, data.tiers) for p in found if len(p.chain) > 1])
    frontier["on_frontier"] = pareto(
        frontier["calibration_cost"].to_numpy(), frontier["calibration_accuracy"].to_numpy()
    )
    best = None
    for points, figures in zip(picks, measured, strict=False):
        if points.chain != choice.chain:
            continue
        shares = np.bincount(answering(test, points.chain, points.thresholds, silent)[0], minlength=len(points.chain))
        best = BestChain(
            choice=choice,
            tiers=[data.tiers[t] for t in points.chain],
            thresholds=[float(t) for t in points.thresholds[0]],
            deciders=[data.tiers[t] for t in deciders(silent, points.chain)],
            reference=data.tiers[reference],
            figures=figures,
            answered=[float(s) for s in shares / len(test)],
            calibration_questions=len(known),
            confidences={data.tiers[t]: known.confidence[t] for t in points.chain[:-1]},
        )
    return TierResults(
        frontier=frontier.reset_index(drop=True),
        chosen=_chosen(picks, measured, data.tiers, choice),
        pays=_pays(test, picks, silent, data.tiers, cfg),
        rule=cfg.rule,
        reference=data.tiers[reference],
        best=best,
        note=choice.note,
        alone={
            number: (float(test.correct[t].mean()), float(test.cost[t].mean())) for t, number in enumerate(data.tiers)
        },
    )


def _picks(known: Stack, choice: ChainChoice, silent: np.ndarray, cfg: CascadeConfig) -> list[ChainPoints]:
    """One point per chain that the rule allows: the chosen one, then the best ones on the calibration questions."""
    picks = []
    for chain, thresholds in choice.candidates:
        right, cost = run_chain(known, chain, thresholds[None], silent)
        picks.append(ChainPoints(chain=chain, thresholds=thresholds[None], accuracy=right.mean(1), cost=cost.mean(1)))
    if cfg.rule == "budget":
        return sorted(picks, key=lambda p: (p.chain != choice.chain, -p.accuracy[0], p.cost[0]))
    return sorted(picks, key=lambda p: (p.chain != choice.chain, p.cost[0], -p.accuracy[0]))


def _frontier_rows(points: ChainPoints, test: Stack, silent: np.ndarray, tiers: list[int]) -> pd.DataFrame:
    """An even part of the calibration frontier of one chain, with test figures."""
    points = points.at(np.unique(np.linspace(0, len(points) - 1, SHOWN).round().astype(int)))
    step = max(1, CHUNK // len(test))
    parts = [
        tuple(v.mean(1) for v in run_chain(test, points.chain, points.thresholds[i : i + step], silent))
        for i in range(0, len(points), step)
    ]
    accuracy, cost = (np.concatenate(values) for values in zip(*parts, strict=True))
    return pd.DataFrame(
        {
            "chain": chain_name([tiers[t] for t in points.chain]),
            "thresholds": [tuple(map(float, t)) for t in points.thresholds],
            "accuracy": accuracy,
            "cost": cost,
            "calibration_accuracy": points.accuracy,
            "calibration_cost": points.cost,
        }
    )


def _measure(
    test: Stack, rows: list[tuple[Chain, np.ndarray]], silent: np.ndarray, cfg: CascadeConfig
) -> list[dict[str, Figure]]:
    """Figures of each row, with paired intervals of the differences to the last row, the reference alone."""
    here, draws = drawn_chains(test, rows, silent, cfg)
    return [
        figures_of(
            {name: value[i] for name, value in here.items()},
            {name: value[..., i] for name, value in draws.items()},
            len(test),
            cfg.level,
        )
        for i in range(len(rows))
    ]


def drawn_chains(
    test: Stack, rows: list[tuple[Chain, np.ndarray]], silent: np.ndarray, cfg: CascadeConfig
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Figures [C] of chains with thresholds [k], and their draws [R, C] over resampled questions.

    The last row is the reference that changes are against. Equal numbers of questions are resampled alike for the same
    seed. `silent` is [T].
    """
    columns = []
    for chain, thresholds in rows:
        right, cost = run_chain(test, chain, thresholds[None], silent)
        passed = answering(test, chain, thresholds[None], silent)[0] > 0
        columns += [right[0].astype(np.float64), cost[0], passed.astype(np.float64)]
    values = np.stack(columns)  # [3 C, N]
    observed, drawn = values.mean(1), _resampled(values, cfg)
    return _figures(observed, observed[-3:]), _figures(drawn, drawn[..., -3:])


def _figures(means: np.ndarray, base: np.ndarray) -> dict[str, np.ndarray]:
    """Figures [..., C] from means [..., 3 C] of verdict, cost and passing on, against `base` [..., 3]."""
    accuracy, cost, passed = (means[..., i::3] for i in range(3))
    base_accuracy, base_cost = base[..., 0:1], base[..., 1:2]
    relative = np.divide(cost, base_cost, out=np.full(cost.shape, np.nan), where=base_cost > 0)
    return {
        "accuracy": accuracy,
        "cost": cost,
        "deferral_rate": passed,
        "accuracy_change": accuracy - base_accuracy,
        "cost_change": relative - 1,
        "reference_accuracy": base_accuracy + 0 * accuracy,
        "reference_cost": base_cost + 0 * cost,
    }


def _resampled(values: np.ndarray, cfg: CascadeConfig) -> np.ndarray:
    """[R, 3 C] means of `values` [3 C, N] over resampled questions."""
    n = values.shape[1]
    rng = np.random.default_rng(cfg.seed)
    step, parts = max(1, CHUNK // n), []
    for start in range(0, cfg.resamples, step):
        rows = min(step, cfg.resamples - start)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        parts.append(weights @ values.T / n)
    return np.concatenate(parts) if parts else np.zeros((0, len(values)))


def _chosen(
    picks: list[ChainPoints], measured: list[dict[str, Figure]], tiers: list[int], choice: ChainChoice
) -> pd.DataFrame:
    """The table of chains."""
    rows = []
    for points, figures in zip(picks, measured, strict=False):
        row = {
            "chain": chain_name([tiers[t] for t in points.chain]),
            "thresholds": tuple(map(float, points.thresholds[0])),
            "calibration_accuracy": points.accuracy[0],
            "calibration_cost": points.cost[0],
            "length": len(points.chain),
            "best": points.chain == choice.chain,
            "accuracy": figures["accuracy"].value,
            "cost": figures["cost"].value,
        }
        for name in ("accuracy_change", "cost_change"):
            figure = figures[name]
            row |= {name: figure.value, f"{name}_lo": figure.low, f"{name}_hi": figure.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _pays(test: Stack, picks: list[ChainPoints], silent: np.ndarray, tiers: list[int], cfg: CascadeConfig) -> str:
    """Whether a third tier pays: the best longer chain against the best pair, in a sentence."""
    pair = next((p for p in picks if len(p.chain) == 2), None)
    longer = next((p for p in picks if len(p.chain) > 2), None)
    if pair is None or longer is None:
        return ""
    change = _measure(test, [(p.chain, p.thresholds[0]) for p in (longer, pair)], silent, cfg)[0]
    names = [chain_name([tiers[t] for t in p.chain]) for p in (longer, pair)]
    accuracy, cost = change["accuracy_change"], change["cost_change"]
    text = f"{names[0]} against {names[1]}: cost {100 * cost.value:+.1f} %"
    text += f" ({100 * cost.low:+.1f} to {100 * cost.high:+.1f}), pass@1 {100 * accuracy.value:+.1f} points"
    if accuracy.low == accuracy.high == cost.low == cost.high == 0:
        return f"A third tier does not pay: the best thresholds of {names[0]} do as {names[1]} does."
    better, worse = (accuracy.low > 0, accuracy.high < 0) if cfg.rule == "budget" else (cost.high < 0, cost.low > 0)
    verdict = "pays" if better else "does not pay" if worse else "cannot be told to pay"
    return f"A third tier {verdict}: {text}."
