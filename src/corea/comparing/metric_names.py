"""The metrics of a run by name: those of metrics.json, dataset by dataset, and those of metrics.jsonl.

slm/ece                    the small model on the test questions; slm_before/...: before RL; change/...: after - before
llm/accuracy               the large model alone
areas/area_gain            whole curve
cascade/cost_change        the cascade by the configured rule; max_drop/cost_change: by a rule of metrics.json
chain/cost_change          the best chain, where there are more than two tiers
training/reward            mean of the last tenth of the steps
validation/ece             last validation
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from corea.comparing.run_sources import ComparedRun
from corea.errors import UserError
from corea.evaluation.question_sets import POOLED
from corea.metrics.figures import Figure

DEFAULT = (
    "slm/accuracy",
    "slm/ece",
    "slm/auroc",
    "areas/area_gain",
    "cascade/accuracy_change",
    "cascade/cost_change",
)
"""Metrics of evaluated runs."""
DEFAULT_TRAINING = (
    "training/reward",
    "training/pass@1",
    "validation/pass@1",
    "validation/ece",
    "validation/auroc",
    "validation/cascade_area",
)
"""Metrics of runs that are not evaluated."""
TRAINING = "training"
"""Name of the dataset of the metrics of metrics.jsonl, which covers the families of data.train."""
FIRST = ("slm", "cascade", "areas", "llm", "validation", "training")
"""Which part a short name means: the first of these that has it."""


def metrics_of(run: ComparedRun) -> dict[str, dict[str, Figure]]:
    """Dataset -> metric -> figure; the interval is that of metrics.json (over questions), NaN where it has none."""
    found: dict[str, dict[str, Figure]] = {}
    if run.document is not None:
        for name, part in {**run.document["datasets"], POOLED: run.document.get("pooled") or {}}.items():
            found[name] = _of_dataset(part)
            chain = ((run.document.get("tiers") or {}).get(name) or {}).get("best")
            found[name] |= _figures("chain", chain)
    if run.training is not None:
        found[TRAINING] = _of_training(run.training)
    return found


def _of_dataset(part: dict[str, Any]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name in ("slm", "slm_before", "change", "llm", "areas"):
        found |= _figures(name, part.get(name))
    points = part.get("cascade") or []
    own = [point for point in points if point["chosen_on"] == points[0]["chosen_on"]]
    for number, point in enumerate(own):
        for name in (["cascade"] if number == 0 else []) + [point["rule"]]:
            found |= _figures(name, point)
    return found


def _figures(prefix: str, entries: dict[str, Any] | None) -> dict[str, Figure]:
    """Numbers and {"value", "ci95", "n"} entries as figures; other entries are left out."""
    found = {}
    for key, entry in (entries or {}).items():
        if isinstance(entry, dict) and "value" in entry:
            ends = next((value for name, value in entry.items() if name.startswith("ci")), [None, None])
            low, high = (math.nan if end is None else float(end) for end in ends)
            value = math.nan if entry["value"] is None else float(entry["value"])
            found[f"{prefix}/{key}"] = Figure(value=value, low=low, high=high, n=entry.get("n", 0))
        elif isinstance(entry, int | float) and not isinstance(entry, bool):
            found[f"{prefix}/{key}"] = _alone(float(entry))
    for key, number in ((entries or {}).get("counts") or {}).items():
        found[f"{prefix}/counts/{key}"] = _alone(float(number))
    return found


def _of_training(table: pd.DataFrame) -> dict[str, Figure]:
    """The last validation, and the mean of the last tenth of the steps of every other column."""
    found = {}
    for column in table.columns.drop("step"):
        values = pd.to_numeric(table[column], errors="coerce")
        if str(column).startswith("validation/"):
            given = values.dropna()
            if len(given):
                found[str(column)] = _alone(float(given.iloc[-1]))
        elif values.notna().any():
            found[f"training/{column}"] = _alone(float(values.tail(max(1, len(table) // 10)).mean()))
    return found


def _alone(value: float) -> Figure:
    return Figure(value=value, low=math.nan, high=math.nan, n=0)


def resolve_metrics(wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """Full names of the metrics that the user names in full or by their last part.

    Raises:
        UserError: an unknown name, with the nearest ones, or one that several parts have.
    """
    names = list(dict.fromkeys(known))
    found: dict[str, None] = {}
    for name in wanted:
        matches = [name] if name in names else [full for full in names if full.endswith(f"/{name}")]
        preferred = [f"{part}/{name}" for part in FIRST if f"{part}/{name}" in matches]
        if not matches:
            ends = {full.rpartition("/")[2]: full for full in reversed(names)}
            near = difflib.get_close_matches(name, names, n=3) or [
                ends[end] for end in difflib.get_close_matches(name.rpartition("/")[2], list(ends), n=3)
            ]
            hint = f"did you mean {', '.join(near)}?" if near else f"some are {', '.join(names[:6])}"
            raise UserError(f"metrics={name}: no run has this metric; {hint}")
        if len(matches) > 1 and not preferred:
            raise UserError(f"metrics={name}: allowed is one of {', '.join(matches)}")
        found[(preferred or matches)[0]] = None
    return list(found)
