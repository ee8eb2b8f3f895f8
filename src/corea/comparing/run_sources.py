"""Finds and reads the runs that are compared: run folders, and answers tables without one.

A run folder is read from its files: metrics.json and frontier*.csv (corea.evaluate), metrics.jsonl (corea.train),
config.yaml, collect.yaml and evaluate.yaml (its configurations). An answers table is evaluated first.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from corea.config.cascade_schema import CascadeConfig
from corea.config.checks import describing, shown
from corea.config.deprecated import current_config
from corea.config.roots import CompareConfig, EvaluateConfig
from corea.config.typed import build
from corea.display import progress
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation
from corea.report.result_files import frontier, metrics_document
from corea.runtime import read_metrics

FIGURES, CURVES = "metrics.json", "metrics.jsonl"
CONFIGS = ("config.yaml", "collect.yaml", "evaluate.yaml")


@dataclass(slots=True, kw_only=True)
class ComparedRun:
    """One run, or one answers table."""

    path: str
    """As the user gave it, or as found in the folder of a sweep."""
    name: str = ""
    """Shortest end of the path that no other run has."""
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """train, collect, evaluate -> configuration, of those that the folder holds."""
    document: dict[str, Any] | None = None
    """metrics.json; None: not evaluated."""
    frontiers: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Dataset (or "pooled") -> frontier.csv."""
    evaluation: EvaluateConfig | None = None
    """How its answers are read and evaluated; None: it has no answers table here."""
    training: pd.DataFrame | None = None
    """metrics.jsonl, one row per step."""

    @property
    def seed(self) -> int | None:
        """Seed of the training run, else that of the collected answers; None if unknown."""
        for kind in ("train", "collect"):
            if "seed" in self.configs.get(kind, {}):
                return int(self.configs[kind]["seed"])
        return None


def read_runs(cfg: CompareConfig) -> list[ComparedRun]:
    """All runs of `cfg.runs` and below `cfg.sweep`.

    Raises:
        UserError: fewer than two runs, a run given twice, a path that is no run, or only some runs with metrics.json.
    """
    paths = [*cfg.runs, *(runs_below(cfg.sweep) if cfg.sweep else [])]
    seen: set[Path] = set()
    for path in paths:
        if not Path(path).exists():
            raise UserError(f"runs: {path}: no such file or folder")
        if Path(path).resolve() in seen:
            raise UserError(f"runs: {path}: given twice")
        seen.add(Path(path).resolve())
    if len(paths) < 2:
        where = f"sweep={cfg.sweep}: holds {len(paths)} runs" if cfg.sweep else f"runs={shown(paths)}"
        raise UserError(f"{where}; allowed is two runs or more")
    runs = []
    with progress("runs", len(paths)) as bar:
        for path in paths:
            runs.append(read_folder(Path(path)) if Path(path).is_dir() else _read_table(Path(path), cfg))
            bar.advance()
    _require_figures(runs)
    for run, name in zip(runs, distinct_names(paths), strict=True):
        run.name = name
    return runs


def runs_below(folder: str) -> list[str]:
    """Run folders below `folder`, numbers in their names in numerical order; folders inside a run are not searched."""
    found: list[Path] = []

    def search(here: Path) -> None:
        for child in sorted((p for p in here.iterdir() if p.is_dir()), key=_natural):
            if any((child / name).exists() for name in (FIGURES, CURVES)):
                found.append(child)
            else:
                search(child)

    search(Path(folder))
    return [str(path) for path in found]


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def distinct_names(paths: list[str]) -> list[str]:
    """The shortest endings of the paths that are all different."""
    parts = [Path(path).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return list(paths)


def read_folder(folder: Path) -> ComparedRun:
    """What the folder of a run holds; nothing is required."""
    run = ComparedRun(path=str(folder), configs=_configs(folder))
    if (folder / FIGURES).exists():
        run.document = read_document(folder / FIGURES)
        run.frontiers = _frontiers(folder, run.document)
        run.evaluation = _evaluation(folder, run.configs.get("evaluate"))
    if run.evaluation is not None:  # results in another folder than the run's
        run.configs = {**_configs(Path(run.evaluation.answers).parent), **run.configs}
    if (folder / CURVES).exists():
        rows = read_metrics(folder / CURVES)
        if rows:
            run.training = pd.DataFrame(rows).drop_duplicates("step", keep="last").sort_values("step")
    return run


def _read_table(path: Path, cfg: CompareConfig) -> ComparedRun:
    """Evaluate an answers table with `cfg.cascade`."""
    evaluation = EvaluateConfig(answers=str(path), cascade=replace(cfg.cascade, compare=False))
    results = run_evaluation(evaluation)
    configs = _configs(path.parent) if path.name == "answers.parquet" else {}
    return ComparedRun(
        path=str(path),
        configs={kind: config for kind, config in configs.items() if kind != "evaluate"},
        document=metrics_document(results),
        frontiers={name: frontier(e) for name, e in results.everything.items()},
        evaluation=evaluation,
    )


def _require_figures(runs: list[ComparedRun]) -> None:
    """Every run needs metrics.json; if no run has it, all need metrics.jsonl."""
    lacking = [run for run in runs if run.document is None]
    if not lacking:
        return
    evaluated = len(lacking) < len(runs)
    for run in lacking:
        if evaluated or run.training is None:
            answers = Path(run.path) / "answers.parquet"
            collect = "" if answers.exists() else f"python -m corea.collect run={run.path}, then "
            raise UserError(
                f"{run.path}: no {FIGURES}; {collect}python -m corea.evaluate answers={answers}"
                + ("" if run.training is not None else f", or a folder with {CURVES}")
            )


def read_document(path: Path) -> dict[str, Any]:
    """The contents of a metrics.json. Raises UserError for any other file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(found["datasets"], dict)
        return found
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(f"{path}: not a {FIGURES} of corea.evaluate; evaluate the run again") from error


def _configs(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for kind, name in zip(("train", "collect", "evaluate"), CONFIGS, strict=True):
        if not (folder / name).exists():
            continue
        try:
            config = OmegaConf.to_container(OmegaConf.load(folder / name))
        except (YAMLError, OSError, UnicodeDecodeError) as error:
            raise UserError(f"{folder / name}: cannot be read") from error
        if isinstance(config, dict):
            found[kind] = current_config(config, quiet=True)
    return found


def _frontiers(folder: Path, document: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """The curve of each dataset; with a single one there is only the pooled file."""
    names = list(document["datasets"])
    files = {"pooled": folder / "frontier.csv"}
    for name in names:
        safe = re.sub(r"[^\w.-]+", "_", name)
        files[name] = folder / f"frontier_{safe}.csv" if len(names) > 1 else files["pooled"]
    return {name: pd.read_csv(file) for name, file in files.items() if file.exists()}


def _evaluation(folder: Path, config: dict[str, Any] | None) -> EvaluateConfig | None:
    """The stored configuration of an evaluation, with the path of its answers; None if either is missing."""
    if config is None:
        return None
    with describing():
        schema = OmegaConf.structured(EvaluateConfig)
    kept = {key: value for key, value in config.items() if key != "logger"}
    no_logger = {"logger": {"_target_": "corea.logger.NoLogger", "name": "none"}}
    cfg: EvaluateConfig = build(cast(DictConfig, OmegaConf.merge(schema, kept, no_logger)))
    places = [Path(cfg.answers), folder / Path(cfg.answers).name]
    answers = next((place for place in places if place.exists()), None)
    if answers is None:
        return None
    if cfg.verdicts == "recorded":
        cfg.audit = None
    return replace(cfg, answers=str(answers), before=None, cascade=replace(cfg.cascade, compare=False))


def shared_bootstrap(run: CascadeConfig, shared: CascadeConfig) -> CascadeConfig:
    """The evaluation `run` with the resamples, their seed and the level of `shared`, so that runs are paired."""
    return replace(run, resamples=shared.resamples, seed=shared.seed, level=shared.level)
