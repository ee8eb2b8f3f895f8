"""Groups of runs that differ in nothing but the seed, labelled by the configuration keys that differ between groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from corea.comparing.run_sources import ComparedRun
from corea.config.cascade_schema import CascadeConfig
from corea.config.checks import shown
from corea.errors import UserError
from corea.run_folder import HARMLESS

RUN = "run"
"""Key of what no configuration tells apart: the name of the run."""
LENGTH = ("trainer.steps", "sft.steps", "sft.stop_after", "trainer.best_by", "trainer.patience")
"""Keys that may change when a run is resumed and yet separate groups: they say how long it is trained, and which of its
checkpoints is kept."""
SAME = (
    *(key for key in HARMLESS if key not in LENGTH),
    "seed",
    *(f"cascade.{key}" for key in ("compare", "resamples", "seed", "level")),
)
"""Keys (with everything below them) that never separate groups."""
COLLECTED = ("llm", "larger", "samples", "temperature")
"""Keys of collect.yaml that count; the others repeat those of the training run."""


@dataclass(slots=True, kw_only=True)
class RunGroup:
    """Runs with the same configuration."""

    label: str
    keys: dict[str, Any]
    """The keys that differ between the groups -> value."""
    runs: list[ComparedRun]

    @property
    def seeds(self) -> list[int | None]:
        """Seed of each run."""
        return [run.seed for run in self.runs]


def grouped_runs(runs: Sequence[ComparedRun], ignore: Sequence[str] = ()) -> list[RunGroup]:
    """Groups in the order of their first runs. Two runs of the same configuration and seed are separate groups.

    `ignore` names keys (with everything below them) that do not separate groups.
    """
    settings = [_settings(run, ignore) for run in runs]
    keys = _differing(settings)
    rows = [{key: values.get(key) for key in keys} for values in settings]
    alike = [(str(row), run.seed) for row, run in zip(rows, runs, strict=True)]
    for row, run, mark in zip(rows, runs, alike, strict=True):
        if alike.count(mark) > 1:
            row[RUN] = run.name
    groups: dict[str, RunGroup] = {}
    for row, run in zip(rows, runs, strict=True):
        label = ", ".join(f"{_short(key)}={_text(value)}" for key, value in row.items()) or "all runs"
        if list(row) == [RUN] or (RUN in row and all(value is None for key, value in row.items() if key != RUN)):
            label = str(row[RUN])
        groups.setdefault(label, RunGroup(label=label, keys=row, runs=[])).runs.append(run)
    return list(groups.values())


def reference_group(groups: Sequence[RunGroup], name: str | None) -> RunGroup:
    """The group that the others are compared with: the first one, or the one with this label, path or name of a run.

    Raises:
        UserError: no such group.
    """
    if name is None:
        return groups[0]
    for group in groups:
        if name == group.label or any(name in (run.path, run.name) for run in group.runs):
            return group
    allowed = "; ".join(group.label for group in groups)
    raise UserError(f"reference={name}: allowed is a run of the comparison or one of: {allowed}")


def _settings(run: ComparedRun, ignore: Sequence[str]) -> dict[str, Any]:
    """Dotted keys of the configurations of a run."""
    found: dict[str, Any] = {}
    if "train" in run.configs:
        found |= _flat(run.configs["train"])
    if "collect" in run.configs:
        kept = run.configs["collect"]
        found |= _flat({key: kept[key] for key in COLLECTED if key in kept} if "train" in run.configs else kept)
    if "evaluate" in run.configs:
        cascade = vars(run.evaluation.cascade) if run.evaluation is not None else _plain_cascade(run)
        found |= _flat({"cascade": cascade})
    dropped = (*SAME, *ignore, "llm.engine", "run", "before", "signals")
    found = {key: v for key, v in found.items() if not any(f"{key}.".startswith(f"{d}.") for d in dropped)}
    if "train" not in run.configs and "collect" not in run.configs:
        found[RUN] = run.name
    return found


def _plain_cascade(run: ComparedRun) -> dict[str, Any]:
    cascade = run.configs["evaluate"].get("cascade")
    return cascade if isinstance(cascade, dict) else vars(CascadeConfig())


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Keys with several values, except those that follow from the choice of their group (reward.name)."""
    keys = list(dict.fromkeys(key for values in settings for key in values))
    differing = [key for key in keys if len({str(values.get(key)) for values in settings}) > 1]
    kept = []
    for key in differing:
        choice = f"{key.partition('.')[0]}.name"
        if key != choice and choice in differing:
            pairs = {(str(values.get(choice)), str(values.get(key))) for values in settings}
            if len(pairs) == len({name for name, _ in pairs}):
                continue
        kept.append(key)
    return kept


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {
        k: v for key, child in value.items() for k, v in _flat(child, f"{path}.{key}" if path else str(key)).items()
    }


def _short(key: str) -> str:
    return key.removesuffix(".name")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else shown(value)
