"""Read what an evaluation rests on: the answers table, that of the model before RL, and the curves of its training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from corea.answers.foreign_answers import read_foreign
from corea.answers.served_answers import read_served
from corea.answers.served_format import is_served_log
from corea.answers.table import Answers, read_answers
from corea.answers.wide import read_wide
from corea.config.roots import EvaluateConfig
from corea.errors import UserError
from corea.evaluation.audit import Regrader, regraded
from corea.evaluation.price_sensitivity import priced
from corea.runtime import read_metrics


@dataclass(slots=True, kw_only=True)
class Inputs:
    """The tables of one evaluation."""

    answers: Answers
    """With the verdicts that all figures rest on."""
    before: Answers | None
    """Answers of the small model before RL."""
    recorded: Answers
    """With the recorded verdicts."""
    regraded: Answers | None
    """With the verdicts of `cfg.audit`."""
    findings: pd.DataFrame | None
    """Answers on which the two differ, or that the grader could not judge."""
    training: pd.DataFrame | None
    """metrics.jsonl, one row per step."""


def read_inputs(cfg: EvaluateConfig, regrade: Regrader | None) -> Inputs:
    """Read `cfg.answers` and the files beside it. Raises UserError for a bad table."""
    renamed = {ours: theirs for ours, theirs in cfg.columns.items() if ours != theirs}
    text, scale = regrade is not None, cfg.confidence_scale
    if is_served_log(cfg.answers):
        table = read_served(cfg.answers, cfg.cascade.seed)
    elif cfg.tiers:
        table = read_wide(cfg.answers, cfg.tiers, text, renamed, scale)
    else:
        table = read_foreign(cfg.answers, cfg.pick, renamed, scale, text) or read_answers(
            cfg.answers, text, names=renamed, confidence_scale=scale
        )
    recorded = priced(table, cfg.cascade.prices)
    ours, findings = regraded(recorded, regrade) if regrade is not None else (None, None)
    answers = recorded
    if ours is not None and cfg.verdicts == "regraded":
        note = f"verdicts are those of the grader {cfg.audit}, not the recorded ones"
        answers = replace(ours, notes=[*ours.notes, note])
    return Inputs(
        answers=answers,
        before=_read_before(cfg),
        recorded=recorded,
        regraded=ours,
        findings=findings,
        training=_read_training(cfg),
    )


def _read_before(cfg: EvaluateConfig) -> Answers | None:
    """The table named by `before`, or answers_before.parquet beside the answers if there is one."""
    path = Path(cfg.before) if cfg.before else Path(cfg.answers).with_name("answers_before.parquet")
    if cfg.before is None and (not path.exists() or path == Path(cfg.answers) or is_served_log(cfg.answers)):
        return None
    return priced(read_answers(path, tiers=False, confidence_scale=cfg.confidence_scale), cfg.cascade.prices)


def _read_training(cfg: EvaluateConfig) -> pd.DataFrame | None:
    """metrics.jsonl, one row per step; a line that a crash left half written is dropped."""
    path = Path(cfg.metrics) if cfg.metrics else Path(cfg.answers).with_name("metrics.jsonl")
    if not path.exists() or (is_served_log(cfg.answers) and not cfg.metrics):
        if cfg.metrics:
            raise UserError(f"metrics={path}: no such file")
        return None
    rows = read_metrics(path)
    return pd.DataFrame(rows).drop_duplicates("step", keep="last").sort_values("step") if rows else None
