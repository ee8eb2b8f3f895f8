"""Reads operating_point.json for a cascade that answers new questions.

Only what running needs is read. Fields that an older release did not write have a default or are None, fields that are
not known are passed over, and what is missing but needed is one line that names the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from corea.cascade.combined import COMBINED
from corea.cascade.fitted_maps import LENGTH, FittedMap, Isotonic, Platt, apply, from_json
from corea.cascade.operating_point import SCHEMA
from corea.errors import UserError

DIGITS = 12
"""Decimals of a raw confidence, as in the answers table that thresholds are chosen from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePoint:
    """How the questions of one dataset pass through the tiers. Legend: k tiers of the chain."""

    dataset: str
    signal: str
    chain: tuple[int, ...]
    """[k] tiers in the order in which they are asked."""
    thresholds: tuple[float, ...]
    """[k - 1] one per tier but the last."""
    deciders: tuple[int, ...]
    """[k - 1] position of the tier whose confidence is compared with each threshold: its own, or an earlier one."""
    maps: tuple[FittedMap | None, ...] = ()
    """[k - 1] map from the raw signals of a tier to its confidence; None: the signal as it is. Empty: no maps."""
    rule: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    """Figures on the test questions, without their intervals."""
    llm_cost_usd: float | None = None
    """Mean dollars of the last tier alone on the test questions; None: unknown."""
    deferral: tuple[int, int] | None = None
    """Deferred questions and all questions of the test split; None: unknown."""
    distribution: Mapping[str, Any] = field(default_factory=dict)
    """Calibration distribution of the first tier's confidence (DatasetPoint.distribution); empty: unknown."""

    def features(self, position: int) -> tuple[str, ...]:
        """Names of the raw signals that the confidence of the tier at `position` is computed from."""
        if position >= len(self.thresholds) or self.deciders[position] != position:
            return ()
        fitted = self.maps[position] if self.maps else None
        if fitted is None:
            return (self.signal,)
        return (fitted.signal,) if isinstance(fitted, Isotonic | Platt) else fitted.features

    def confidence(self, position: int, raw: Mapping[str, float | None]) -> float | None:
        """The confidence that decides at `position`, from raw signals by name; None: missing."""
        names = self.features(position)
        if not names:
            return None
        fitted = self.maps[position] if self.maps else None
        if fitted is None and self.signal != LENGTH:
            return _rounded(raw.get(self.signal))
        values = {n: np.array([np.nan if (v := raw.get(n)) is None else v], np.float64) for n in names}
        values = {n: v if n == LENGTH else np.round(v, DIGITS) + 0.0 for n, v in values.items()}
        found = float((values[self.signal] if fitted is None else apply(fitted, values))[0])
        return None if np.isnan(found) else found


def _rounded(value: float | None) -> float | None:
    """numpy.round(value, DIGITS) of one number, in a fraction of its time."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return value
    return round(value * 10**DIGITS) / 10**DIGITS + 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFile:
    """An operating_point.json."""

    path: Path
    sha256: str
    """Of the file: what an answer is marked with."""
    primary: str
    datasets: dict[str, Mapping[str, Any]]
    """Name -> the point as the file has it; `point` reads one."""
    models: Mapping[str, Mapping[str, Any]]
    """Tier -> what identifies its model, engine, prompt and sampling."""
    prompts: Mapping[str, Mapping[str, Any]]
    prices: Mapping[str, Mapping[str, Any]]
    chains: Mapping[str, Mapping[str, Any]]
    """Dataset -> what is known of its chains, where there are more than two tiers."""

    def point(self, dataset: str) -> LivePoint:
        """The point of a dataset. Raises UserError if it cannot be run."""
        if dataset not in self.datasets:
            raise UserError(f"{self.path}: no dataset {dataset}; it has {', '.join(self.datasets)}")
        try:
            return _live_point(self, dataset, self.datasets[dataset])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{self.path}: dataset {dataset} cannot be read ({str(error)[:120]})") from error


def read_point(path: str | Path) -> PointFile:
    """Read the file.

    Raises:
        UserError: it is missing, or is no operating point of a schema that this release knows.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        document = json.loads(data)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not JSON"
        raise UserError(f"operating_point={path}: cannot be read ({reason})") from error
    schema = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if not isinstance(schema, int) or not 1 <= schema <= SCHEMA:
        raise UserError(f"{path}: schema {schema}; allowed is {SCHEMA}; write the file again with corea.evaluate")
    datasets, primary = document.get("datasets"), document.get("dataset")
    if not isinstance(datasets, dict) or primary not in datasets:
        raise UserError(f"{path}: not an operating point: it names no datasets; write it again with corea.evaluate")
    parts = {name: document.get(name) or {} for name in ("models", "prompts", "prices")}
    chains = document.get("tiers") or {}
    digest = hashlib.sha256(data).hexdigest()
    return PointFile(path=path, sha256=digest, primary=primary, datasets=datasets, chains=chains, **parts)


def _live_point(file: PointFile, name: str, given: Mapping[str, Any]) -> LivePoint:
    rule, thresholds = given.get("rule") or {}, given.get("thresholds")
    if thresholds is None:
        reason = rule.get("note") or f"the rule {rule.get('name', '')} found none"
        raise UserError(f"{file.path}: dataset {name} has no threshold: {reason}")
    chain = given.get("chain") or _two_ends(file)
    if len(thresholds) != len(chain) - 1:
        raise UserError(f"{file.path}: dataset {name}: {len(thresholds)} thresholds for {len(chain)} tiers")
    if sorted(set(chain)) != list(chain):
        raise UserError(f"{file.path}: dataset {name}: chain {chain}: tiers must ascend")
    places = {int(tier): place for place, tier in enumerate(chain)}
    deciders = [places[int(tier)] for tier in given.get("deciders") or chain[:-1]]
    expected = {key: value["value"] for key, value in (given.get("expected") or {}).items() if isinstance(value, dict)}
    return LivePoint(
        dataset=name,
        signal=given["signal"],
        chain=tuple(map(int, chain)),
        thresholds=tuple(map(float, thresholds)),
        deciders=tuple(deciders),
        maps=_maps(file, name, given, chain),
        rule=rule,
        expected=expected,
        llm_cost_usd=_llm_cost(file.chains.get(name) or {}, chain, expected),
        deferral=_deferral(given.get("expected") or {}),
        distribution=_distribution(given.get("distribution"), chain[0]),
    )


def _distribution(found: Any, tier: int) -> Mapping[str, Any]:
    """That of a tier; empty where the file has none that this release knows."""
    of_tier = found.get(str(tier)) if isinstance(found, dict) else None
    return of_tier if isinstance(of_tier, dict) else {}


def _deferral(expected: Mapping[str, Any]) -> tuple[int, int] | None:
    """Deferred and all test questions, which did not choose the threshold."""
    figure = expected.get("deferral_rate")
    if not isinstance(figure, dict) or not figure.get("n") or figure.get("value") is None:
        return None
    return round(figure["value"] * figure["n"]), int(figure["n"])


def _two_ends(file: PointFile) -> list[int]:
    """Tier 0 and the largest, which is what a point without a chain stands for."""
    if not file.models:
        raise UserError(f"{file.path}: names no models, so its tiers are unknown; write it again with corea.evaluate")
    return [0, max(map(int, file.models))]


def _maps(file: PointFile, name: str, given: Mapping[str, Any], chain: Sequence[int]) -> tuple[FittedMap | None, ...]:
    found = given.get("maps") or {}
    recalibrated, combined = given.get("recalibrate", "none") != "none", given["signal"] == COMBINED
    if recalibrated and combined:
        raise UserError(
            f"{file.path}: dataset {name}: a recalibration of the signal combined is not in the file; write it again "
            "with cascade.recalibrate=none"
        )
    needed = recalibrated or combined
    if needed and len(chain) > 1 and not found:
        raise UserError(
            f"{file.path}: dataset {name}: the fitted map of its signal ({given['signal']}, "
            f"{given.get('recalibrate')}) is not in the file; write it again with corea.evaluate"
        )
    return tuple(from_json(found[str(tier)]) if str(tier) in found else None for tier in chain[:-1])


def _llm_cost(chains: Mapping[str, Any], chain: Sequence[int], expected: Mapping[str, float]) -> float | None:
    """Mean dollars of the chain's last tier alone on the test questions."""
    if "cost_usd" not in expected:
        return None
    alone = (chains.get("alone") or {}).get(str(chain[-1]))
    if alone is not None:
        return float(alone["cost"])
    change = expected.get("cost_change")
    return None if change is None or change <= -1 else expected["cost_usd"] / (1 + change)
