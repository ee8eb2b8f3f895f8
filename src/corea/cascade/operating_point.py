"""The operating point: what is needed to run a cascade as it was chosen, and its form in operating_point.json.

The file repeats the point of the primary dataset at its top level, then names models, prompts, prices and the answers
table that it was chosen from, then gives the point of each dataset.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from corea.errors import UserError

SCHEMA = 1
"""Version of the layout of operating_point.json."""
QUANTILES = 101
BINS = 10
"""Every so many quantiles there is an edge of a bin."""


@dataclass(slots=True, kw_only=True)
class DatasetPoint:
    """Thresholds for the questions of one dataset, and what they promise."""

    dataset: str
    signal: str
    """Confidence signal that is compared with the thresholds."""
    recalibrate: str
    """Map of the signal before it is compared: none, isotonic or platt."""
    thresholds: list[float] | None
    """One per tier of the chain but the last; None: the rule found none, and `rule["note"]` says why."""
    rule: dict[str, Any]
    """name, parameters, guarantee and note of the rule that chose the thresholds."""
    calibration: dict[str, Any]
    """split, questions and sha256 of the calibration questions."""
    expected: dict[str, Any]
    """Figures on the test questions with their intervals."""
    chain: list[int] | None = None
    """Tiers that a question passes, in this order; None: tier 0 and the largest."""
    deciders: list[int] | None = None
    """Tier whose confidence is compared with each threshold: an earlier one where a tier states none; None: its own."""
    maps: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tier -> fitted map of its signal (fitted_maps.py); empty: the signal is compared as it is."""
    distribution: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Tier -> distribution of the confidence that is compared, over the calibration questions: `questions`, `missing`
    (share), `quantiles`: QUANTILES values from the lowest to the highest stated confidence, evenly spaced; `edges` and
    `counts`: ascending confidences, and questions below the first, from each one on, and last of all without any."""


def distribution(confidence: np.ndarray) -> dict[str, Any]:
    """An entry of `DatasetPoint.distribution` from `confidence` [N], NaN missing."""
    stated = confidence[~np.isnan(confidence)]
    quantiles = np.quantile(stated, np.linspace(0, 1, QUANTILES)) if len(stated) else np.zeros(0)
    edges = np.unique(quantiles[BINS:-1:BINS])
    return {
        "questions": len(confidence),
        "missing": float(np.isnan(confidence).mean()) if len(confidence) else 0.0,
        "quantiles": [float(q) for q in quantiles],
        "edges": edges.tolist(),
        "counts": category_counts(confidence, edges).tolist(),
    }


def categories(confidence: np.ndarray | float, edges: np.ndarray) -> np.ndarray:
    """[N] bin of each confidence: 0 below the first of `edges` [E], E from the last one on, E + 1 if it is missing."""
    confidence = np.asarray(confidence, np.float64)
    return np.where(np.isnan(confidence), len(edges) + 1, np.searchsorted(edges, confidence, side="right"))


def category_counts(confidence: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[E + 2] confidences [N] of each bin."""
    return np.bincount(categories(confidence, edges), minlength=len(edges) + 2)


@dataclass(slots=True, kw_only=True)
class OperatingPoint:
    """Everything in operating_point.json."""

    primary: str
    """Name of the dataset that is reported first."""
    datasets: dict[str, DatasetPoint]
    models: dict[str, Any] = field(default_factory=dict)
    """Tier -> what identifies its model."""
    prompts: dict[str, Any] | None = None
    """Tier -> name and hash of its prompt."""
    prices: dict[str, Any] | None = None
    """Tier -> prices with source and date."""
    answers_sha256: str = ""
    """Of the answers table that the thresholds were chosen from."""
    tiers: dict[str, Any] = field(default_factory=dict)
    """Dataset -> what is known of its chains, where it has more than two tiers: the best one, each tier alone."""

    def to_json(self) -> dict[str, Any]:
        """The document, with the schema version."""
        whole = asdict(self)
        points = whole.pop("datasets")
        primary = whole.pop("primary")
        chains = whole.pop("tiers")
        return {"schema": SCHEMA, **points[primary], **whole, "datasets": points, "tiers": chains}

    @classmethod
    def from_json(cls, document: Any, path: str = "operating_point.json") -> OperatingPoint:
        """The point of a document. Raises UserError, which names `path`, where it is not one of this schema."""
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            found = document.get("schema") if isinstance(document, dict) else type(document).__name__
            raise UserError(f"{path}: schema {found}; allowed is {SCHEMA}; write the file again with corea.evaluate")
        names = [f.name for f in fields(cls) if f.name not in ("primary", "datasets")]
        try:
            points = {name: DatasetPoint(**values) for name, values in document["datasets"].items()}
            point = cls(primary=document["dataset"], datasets=points, **{name: document[name] for name in names})
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: not an operating point: {str(error)[:120]}") from error
        if point.primary not in points:
            raise UserError(f"{path}: dataset {point.primary} is not among its datasets")
        return point
