"""Reads the content of a model card from a run: configuration, versions, hardware, figures and operating point."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from yaml import YAMLError

from corea.collecting.plan import folder_fingerprint, trained_model
from corea.config import PublishConfig
from corea.config.deprecated import current_config
from corea.errors import UserError
from corea.publishing.base_licence import base_license

EVALUATE = "python -m corea.collect run={run}, then python -m corea.evaluate answers={run}/answers.parquet"


@dataclass(slots=True, kw_only=True)
class PublishedRun:
    """The published part of a finished run."""

    title: str
    address: str
    """What a reader loads it by: the repository, or the name of the folder."""
    model: Path
    """Folder of the trained model."""
    results: Path
    """Folder of the evaluation."""
    config: dict[str, Any]
    """config.yaml of corea.train."""
    starts: list[dict[str, Any]]
    """provenance.json: one entry per start of training, collecting and evaluating."""
    origin: dict[str, Any]
    """Which step the weights come from; empty for a run that does not say."""
    metrics: dict[str, Any]
    """metrics.json"""
    point: dict[str, Any]
    """operating_point.json"""
    license: str | None
    """Identifier of the licence; None: unknown."""
    notes: list[str]
    """Remarks that the card shows."""

    @property
    def base(self) -> str:
        """Public name of the base model: a hub id, or the name of a folder or of a packaged model."""
        return public_name(str(self.config["model"]["path"]))

    @property
    def base_on_hub(self) -> str | None:
        """Hub id of the base model; None for a local or packaged one."""
        path = str(self.config["model"]["path"])
        local = path.startswith(("package:", ".", "/", "~")) or Path(path).exists() or path.count("/") != 1
        return None if local else path

    @property
    def training(self) -> dict[str, Any]:
        """The last start of corea.train: versions and hardware."""
        own = [start for start in self.starts if start.get("config") == "config.yaml"]
        return own[-1] if own else {}


def public_name(path: str) -> str:
    """A path without local folders: hub ids and packaged models unchanged, of a local path its last name."""
    hub = path.count("/") == 1 and not path.startswith((".", "/", "~")) and not Path(path).exists()
    return path if path.startswith("package:") or hub else Path(path).name


def read_run(cfg: PublishConfig) -> PublishedRun:
    """Read the run folder.

    Raises:
        UserError: the run has no trained model, no evaluation, or an evaluation of other weights.
    """
    run = Path(cfg.run)
    model, results = Path(trained_model(run)), Path(cfg.results or run)
    config = _yaml(run / "config.yaml")
    metrics, point = (_json(results / name, run) for name in ("metrics.json", "operating_point.json"))
    history = _json(run / "provenance.json", run)
    notes = _check_weights(model, results, point)
    title = cfg.name or (cfg.repo or "").rpartition("/")[2] or Path(cfg.folder or run).resolve().name
    return PublishedRun(
        title=title,
        address=cfg.repo or title,
        model=model,
        results=results,
        config=config,
        starts=list(history.get("starts", [])),
        origin=dict(history.get("model") or {}),
        metrics=metrics,
        point=point,
        license=cfg.license or base_license(str(config["model"]["path"]), config["model"].get("revision")),
        notes=notes,
    )


def _check_weights(model: Path, results: Path, point: dict[str, Any]) -> list[str]:
    """Require that the small model's answers came from these weights; a remark where the file does not say."""
    recorded = str((point.get("models") or {}).get("0", {}).get("model", ""))
    if not recorded.startswith("sha256:"):
        return ["The evaluation does not record which weights gave the answers."]
    if recorded != folder_fingerprint(model):
        raise UserError(
            f"{results}/operating_point.json: its figures are of other weights than {model}; collect and evaluate again"
        )
    return []


def _json(path: Path, run: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: no such file; the model card needs it: {EVALUATE.format(run=run)}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a file of corea: a {type(found).__name__} instead of an object")
    return found


def _yaml(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path}: no such file; run= must name a run folder of corea.train")
    try:
        found = OmegaConf.to_container(OmegaConf.load(path))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if not isinstance(found, dict) or "path" not in (found.get("model") or {}):
        raise UserError(f"{path}: not a configuration of corea.train")
    return current_config(found, quiet=True)
