"""Schema of the group `cascade`: signal, thresholds, rule, intervals (docs/evaluation.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import MISSING

from corea.config.checks import above, at_least, check, checked, one_of, within
from corea.config.price_schema import PriceConfig

RULES = ("llm_accuracy", "max_drop", "budget", "guarantee", "fixed")
RECALIBRATIONS = ("none", "isotonic", "platt")
PROMISES = ("loss", "net", "kept_accuracy")
INTERVALS = ("both", "test")
ECE_EDGES = ("lower", "upper", "linspace")


@dataclass
class CascadeConfig:
    """How a cascade is evaluated and how its operating point is chosen."""

    name: str = MISSING
    """Name of the choice."""
    signal: str = "verbalized"
    """Confidence signal: verbalized (the column `confidence`), NAME for the column `confidence_NAME`, or combined (a
    logistic stack of the signals of an answer, fitted on one half of the calibration questions)."""
    recalibrate: str = checked("none", one_of(*RECALIBRATIONS))
    """Map the signal to probabilities, fitted on one half of the calibration questions."""
    compare: bool = True
    """Compare all signals of the table, raw and recalibrated."""
    rule: str = checked("llm_accuracy", one_of(*RULES))
    """Rule that chooses the reported operating point; the report lists all rules."""
    threshold: float = checked(0.5, within(0, 1.01))
    """Threshold of the rule `fixed`."""
    delta: float = checked(0.02, within(0, 1))
    """Accuracy that the rules `max_drop` and `guarantee` may lose against the LLM."""
    confidence: Optional[float] = checked(0.9, within(0.5, 0.999))
    """Probability with which the drop of the rule `max_drop` must be within `delta` on new questions; null: the drop on
    the calibration questions decides."""
    budget: float = checked(0.5, above(0))
    """Maximum spending of the rule `budget`, as a share of the cost of the LLM alone."""
    budget_usd: Optional[float] = checked(None, above(0))
    """Maximum spending of the rule `budget` in dollars per 1,000 questions; replaces `budget`."""
    guarantee: str = checked("loss", one_of(*PROMISES))
    """Promise of the rule `guarantee`. loss: at most a share `delta` of the questions is kept and wrong although the
    LLM is right. net: pass@1 is at most `delta` below the LLM's. kept_accuracy: see the next key."""
    kept_accuracy: float = checked(0.9, within(0.001, 0.999))
    """Minimum accuracy of kept answers that the rule `guarantee` promises with guarantee=kept_accuracy."""
    alpha: float = checked(0.1, within(0.001, 0.5))
    """Probability with which the promise of the rule `guarantee` may fail."""
    thresholds: list[float] = checked(factory=list, allowed=within(0, 1.01), each=True)
    """Grid of thresholds; empty: every observed confidence and both ends."""
    prices: list[PriceConfig] = field(default_factory=list)
    """One price per tier, applied to the recorded tokens. Empty: the recorded costs."""
    bins: int = checked(10, at_least(1))
    """Bins of ECE and of the reliability diagram."""
    ece_edges: str = checked("lower", one_of(*ECE_EDGES))
    """Bin of a confidence on an edge: lower (0.3 lies in the bin that starts at 0.3), upper (in the one that ends
    there), linspace (lower with numpy.linspace's edges: 0.3, 0.6 and 0.7 fall one bin low, as in some papers)."""
    resamples: int = checked(1000, at_least(0))
    """Bootstrap resamples."""
    intervals: str = checked("both", one_of(*INTERVALS))
    """What the intervals of an operating point include: both (other calibration questions, which give another
    threshold, and other test questions), or test (other test questions at the chosen threshold)."""
    level: float = checked(0.95, within(0.5, 0.999))
    """Confidence level of the intervals."""
    seed: int = 0
    """Seed of the bootstrap."""
    calibration_split: str = "calibration"
    """Name of the split on which thresholds are chosen."""
    test_split: str = "test"
    """Name of the split on which results are reported."""
    primary: Optional[str] = None
    """Dataset that the report shows first and that operating_point.json holds; null: the first of the table."""
    large: Optional[int] = checked(None, at_least(1))
    """Tier that questions are deferred to; null: the largest of each dataset."""
    split_fraction: Optional[float] = checked(None, within(0.01, 0.99))
    """Share of questions used for calibration if the table has no split column; null: report without a rule."""

    def __post_init__(self) -> None:
        check(self, "cascade")
        if self.signal == "combined" and self.recalibrate != "none":
            raise ValueError("cascade.recalibrate: allowed with cascade.signal=combined, a fitted probability, is none")
        if self.delta == 0 and self.rule == "guarantee" and self.guarantee != "kept_accuracy":
            raise ValueError("cascade.delta=0: allowed with cascade.rule=guarantee is a number > 0")
        if self.delta == 0 and self.rule == "max_drop" and self.confidence is not None:
            raise ValueError(
                "cascade.delta=0: allowed with cascade.rule=max_drop is a number > 0, or cascade.confidence=null"
            )
