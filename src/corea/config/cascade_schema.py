"""Schema of the group `cascade`: signal, thresholds, rule, intervals (DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, one_of, within
from corea.config.price_schema import PriceConfig

RULES = ("llm_accuracy", "max_drop", "budget", "guarantee", "fixed")
RECALIBRATIONS = ("none", "isotonic", "platt")
PROMISES = ("loss", "kept_accuracy")
ECE_EDGES = ("lower", "upper", "linspace")


@dataclass
class CascadeConfig:
    """How a cascade is evaluated and where it is operated."""

    name: str = MISSING
    signal: str = "verbalized"
    """verbalized (the column `confidence`) or the name of a column `confidence_<signal>`."""
    recalibrate: str = "none"
    """Map the signal to probabilities on one half of the calibration questions: none, isotonic, platt."""
    compare: bool = True
    """Compare all signals of the table, raw and recalibrated."""
    rule: str = "llm_accuracy"
    """The operating point that is reported first; all rules are listed."""
    threshold: float = 0.5
    """Threshold of the rule `fixed`."""
    delta: float = 0.02
    """Accuracy that the rules `max_drop` and `guarantee` may lose against the LLM."""
    budget: float = 0.5
    """Most that the rule `budget` may spend, as a share of the cost of the LLM alone."""
    budget_usd: Optional[float] = None
    """The same in dollars per 1,000 questions; replaces `budget`."""
    guarantee: str = "loss"
    """Promise of the rule `guarantee`: loss (against the LLM, at most delta) or kept_accuracy."""
    kept_accuracy: float = 0.9
    """Least accuracy of kept answers that the rule `guarantee` promises with guarantee=kept_accuracy."""
    alpha: float = 0.1
    """How often the promise of the rule `guarantee` may be broken."""
    thresholds: list[float] = field(default_factory=list)
    """Grid of thresholds; empty: every observed confidence and both ends."""
    prices: list[PriceConfig] = field(default_factory=list)
    """One a tier: what the recorded tokens cost now, without another model run. Empty: the recorded costs."""
    bins: int = 10
    """Bins of ECE and of the reliability diagram."""
    ece_edges: str = "lower"
    """Bin of a confidence on an edge: lower (0.3 lies in the bin that starts at 0.3), upper (in the one that ends
    there), linspace (lower with numpy.linspace's edges: 0.3, 0.6 and 0.7 fall one bin low, as in some papers)."""
    resamples: int = 1000
    """Bootstrap resamples."""
    level: float = 0.95
    """Level of the intervals."""
    seed: int = 0
    """Seed of the bootstrap."""
    calibration_split: str = "calibration"
    test_split: str = "test"
    primary: Optional[str] = None
    """Dataset that is reported first and gives operating_point.json; None: the first of the table."""
    large: Optional[int] = None
    """Tier that questions are deferred to; None: the largest of each dataset."""
    split_fraction: Optional[float] = None
    """Where the table has no split column: share of questions taken for calibration; None: report without a rule."""

    def __post_init__(self) -> None:
        one_of("cascade.recalibrate", self.recalibrate, RECALIBRATIONS)
        one_of("cascade.rule", self.rule, RULES)
        within("cascade.threshold", self.threshold, 0, 1.01)
        within("cascade.delta", self.delta, 0, 1)
        above("cascade.budget", self.budget, 0)
        above("cascade.budget_usd", self.budget_usd, 0)
        one_of("cascade.guarantee", self.guarantee, PROMISES)
        within("cascade.kept_accuracy", self.kept_accuracy, 0.001, 0.999)
        within("cascade.alpha", self.alpha, 0.001, 0.5)
        if self.rule == "guarantee" and self.guarantee == "loss":
            above("cascade.delta", self.delta, 0)
        for value in self.thresholds:
            within("cascade.thresholds", value, 0, 1.01)
        at_least("cascade.bins", self.bins, 1)
        one_of("cascade.ece_edges", self.ece_edges, ECE_EDGES)
        at_least("cascade.large", self.large, 1)
        at_least("cascade.resamples", self.resamples, 0)
        within("cascade.level", self.level, 0.5, 0.999)
        within("cascade.split_fraction", self.split_fraction, 0.01, 0.99)
