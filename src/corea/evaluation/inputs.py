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
    """With the verdicts of the grader of an audit."""
    grader: str | None
    """Name of that grader."""
    findings: pd.DataFrame | None
    """Answers on which the two differ, or that the grader could not judge."""
    training: pd.DataFrame | None
    """metrics.jsonl, one row per step."""


@dataclass(slots=True)
class Reader:
    """Reads the answers table that a configuration names, and the files beside it."""

    cfg: EvaluateConfig

    def read(self, regrade: Regrader | None) -> Inputs:
        """The tables; `regrade` gives the verdicts of `audit`. Raises UserError for a bad table."""
        recorded = priced(self._answers(text=regrade is not None), self.cfg.cascade.prices)
        ours, findings = regraded(recorded, regrade) if regrade is not None else (None, None)
        answers = recorded
        if ours is not None and self.cfg.verdicts == "regraded":
            note = f"verdicts are those of the grader {self.cfg.audit}, not the recorded ones"
            answers = replace(ours, notes=[*ours.notes, note])
        return Inputs(
            answers=answers,
            before=self._before(),
            recorded=recorded,
            regraded=ours,
            grader=self.cfg.audit,
            findings=findings,
            training=self._training(),
        )

    def _answers(self, text: bool) -> Answers:
        """The table in whatever form it has; with the texts of the answers if `text`."""
        cfg, scale = self.cfg, self.cfg.confidence_scale
        renamed = {ours: theirs for ours, theirs in cfg.columns.items() if ours != theirs}
        if is_served_log(cfg.answers):
            return read_served(cfg.answers, cfg.cascade.seed)
        if cfg.tiers:
            return read_wide(cfg.answers, cfg.tiers, text, renamed, scale)
        foreign = read_foreign(cfg.answers, cfg.pick, renamed, scale, text)
        return foreign or read_answers(cfg.answers, text, names=renamed, confidence_scale=scale)

    def _before(self) -> Answers | None:
        """The table named by `before`, or answers_before.parquet beside the answers if there is one."""
        cfg = self.cfg
        path = Path(cfg.before or Path(cfg.answers).with_name("answers_before.parquet"))
        if cfg.before is None and (not path.exists() or path == Path(cfg.answers) or is_served_log(cfg.answers)):
            return None
        return priced(read_answers(path, tiers=False, confidence_scale=cfg.confidence_scale), cfg.cascade.prices)

    def _training(self) -> pd.DataFrame | None:
        """metrics.jsonl, one row per step; a line that a crash left half written is dropped."""
        cfg = self.cfg
        path = Path(cfg.metrics or Path(cfg.answers).with_name("metrics.jsonl"))
        if not path.exists() or (is_served_log(cfg.answers) and not cfg.metrics):
            if cfg.metrics:
                raise UserError(f"metrics={path}: no such file")
            return None
        rows = read_metrics(path)
        return pd.DataFrame(rows).drop_duplicates("step", keep="last").sort_values("step") if rows else None
