"""Paired intervals of the differences between two chains of tiers on the same test questions.

Both reports name their chain, its thresholds and its reference; their answers tables say which tier answers each
question, whether it is right and what it costs. As in a report on its own (cascade/chain_results.py), chain and
thresholds stay as chosen and only test questions are resampled, here the same ones for both chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from corea.answers.table import Answers
from corea.comparing.seed_figures import Span
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.tier_stacks import TierStack, tier_stacks
from corea.metrics.bootstrap import interval

SAME = 1e-9
"""Largest difference between a figure of a report and the same figure from the answers table beside it."""


class ChainSide:
    """One report with its answers table."""

    def __init__(self, document: dict[str, Any], answers: Answers, names: list[str], cascade: CascadeConfig) -> None:
        """`document` is its metrics.json; `names` are its datasets."""
        self.document = document
        self.cascade = cascade
        self.stacks: dict[str, TierStack] = tier_stacks(answers, names, cascade) if document.get("tiers") else {}

    def questions(self, dataset: str) -> list[tuple[str, str]]:
        """The test questions in their order; empty where no chain is known."""
        tested = self.stacks.get(dataset)
        if tested is None:
            return []
        return [key for key, split in zip(tested.question_id, tested.split, strict=True) if split == self._test]

    def draws(self, dataset: str) -> dict[str, np.ndarray]:
        """Figure -> [R] draws of the chain; empty where the report has no chain or is not of these answers."""
        part = (self.document.get("tiers") or {}).get(dataset) or {}
        best, tested = part.get("best"), self.stacks.get(dataset)
        if not best or tested is None or not {*best["chain"], part["reference"]} <= set(tested.stack.tiers):
            return {}
        values, draws = tested.chain(best["chain"], best["thresholds"], part["reference"], self.cascade)
        reported = {name: best[name]["value"] for name in ("accuracy", "cost_change")}
        if any(value is not None and abs(values[name] - value) > SAME for name, value in reported.items()):
            return {}
        return draws

    @property
    def _test(self) -> str:
        return self.cascade.test_split


def chain_spans(former: ChainSide, now: ChainSide, dataset: str, level: float) -> dict[str, Span]:
    """Metric of comparing/metric_names.py -> paired interval of its change; empty where the chains cannot be paired."""
    asked = now.questions(dataset)
    if not asked or asked != former.questions(dataset):
        return {}
    before, after = former.draws(dataset), now.draws(dataset)
    spans = {}
    for name in before.keys() & after.keys():
        low, high = interval(after[name] - before[name], level)
        spans[f"chain/{name}"] = Span(low=float(low), high=float(high))
    return spans
