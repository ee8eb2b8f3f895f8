"""All results of an evaluation as one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from corea.answers.table import Answers
from corea.cascade.chain_results import BestChain, TierResults
from corea.cascade.fitted_maps import FittedMap
from corea.config.cascade_schema import CascadeConfig
from corea.evaluation.audit import Audit
from corea.evaluation.dataset import Evaluation
from corea.evaluation.question_sets import POOLED
from corea.evaluation.signal_comparison import SignalRow

FINDS = "; the rule finds one with the signal "
"""In the note of a rule without a threshold: before the names of the signals of which it finds one."""


@dataclass(slots=True, kw_only=True)
class AnswersFile:
    """The answers table that the results come from."""

    path: str
    sha256: str
    rows: int
    models: dict[int, list[str]]
    """Tier -> names of the models that answered; empty if the table has no column model."""
    meta: dict[str, Any]
    """What the collector wrote beside the rows: models, prompts, prices."""


@dataclass(slots=True, kw_only=True)
class Results:
    """Everything that an evaluation found; plots, files, report and logger read it."""

    answers: AnswersFile
    cfg: CascadeConfig
    datasets: dict[str, Evaluation]
    """By name, the primary one first."""
    pooled: Evaluation
    """All datasets as one; identical to the dataset if there is only one."""
    primary: str
    notes: list[str]
    """Remarks that a reader needs besides the figures."""
    signals: dict[str, list[SignalRow]] = field(default_factory=dict)
    """Dataset (and "pooled") -> its signals compared, the configured one first; empty if there is only one signal."""
    tiers: dict[str, TierResults] = field(default_factory=dict)
    """Dataset (and "pooled") -> chains of its tiers, where it has more than two and calibration questions."""
    audit: Audit | None = None
    """Results of regrading, if requested."""
    training: pd.DataFrame | None = None
    """metrics.jsonl of the training run, one row per step."""
    maps: dict[str, dict[int, FittedMap]] = field(default_factory=dict)
    """Dataset -> tier -> fitted map of the configured signal; empty where the signal is used as it is."""

    def chain(self, name: str) -> BestChain | None:
        """The chain that the rule chooses for a dataset of more than two tiers; it takes the place of `point`."""
        return self.tiers[name].best if name in self.tiers else None

    @property
    def first(self) -> Evaluation:
        """The dataset that is reported first."""
        return self.datasets[self.primary]

    @property
    def everything(self) -> dict[str, Evaluation]:
        """Each dataset and, if there are several, all of them pooled."""
        return {**self.datasets, **({POOLED: self.pooled} if len(self.datasets) > 1 else {})}


def models_of(answers: Answers) -> dict[int, list[str]]:
    """Tier -> names of the models that answered it; empty if the table has no column model."""
    if "model" not in answers.frame:
        return {}
    names: dict[int, list[str]] = {}
    for tier, model in answers.frame[["tier", "model"]].drop_duplicates().itertuples(index=False):
        names.setdefault(int(tier), []).extend([str(model)] if isinstance(model, str) else [])
    return names
