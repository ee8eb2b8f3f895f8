"""The questions of an evaluation: SLM beside LLM, divided into calibration and test, dataset by dataset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from corea.answers.fit_part import FITTED, FITTED_SIGNALS, fit_part
from corea.answers.pairs import Pairs, cost_unit, pair, split_by_hash
from corea.answers.table import Answers
from corea.cascade.combined import COMBINED, FEATURES, Stacks, features_of, with_combined
from corea.cascade.combined import LEAST as LEAST_STACKED
from corea.cascade.fitted_maps import LENGTH, FittedMap
from corea.cascade.recalibration import LEAST, recalibrated
from corea.column_hints import no_confidence
from corea.config.cascade_schema import CascadeConfig
from corea.errors import UserError

POOLED = "pooled"
"""Name of all datasets taken as one."""


@dataclass(slots=True, kw_only=True)
class QuestionSets:
    """N questions with splits."""

    now: Pairs
    """With the confidence that decides, recalibrated if configured."""
    raw: Pairs
    """With the confidence as the table has it."""
    before: Pairs | None
    """The same questions, answered by the small model before RL."""
    names: list[str]
    """Datasets that have test questions, the primary one first."""
    notes: list[str]
    """Remarks for every report."""
    maps: dict[str, FittedMap] = field(default_factory=dict)
    """Dataset -> recalibration of the signal, if configured."""

    def inside(self, name: str) -> np.ndarray:
        """[N] True for the questions of dataset `name`, or of all datasets in `names` for POOLED."""
        return np.isin(self.now.dataset.astype(str), self.names) if name == POOLED else self.now.dataset == name

    def parts(self, name: str, cfg: CascadeConfig) -> tuple[Pairs, Pairs | None, Pairs | None]:
        """Test questions, calibration questions (None without any), and the earlier model's test questions."""
        inside = self.inside(name)
        tested, known = (inside & (self.now.split == s) for s in (cfg.test_split, cfg.calibration_split))
        return (
            self.now.where(tested),
            self.now.where(known) if known.any() else None,
            self.before.where(tested) if self.before is not None else None,
        )


def question_sets(answers: Answers, before: Answers | None, cfg: CascadeConfig) -> QuestionSets:
    """Pair the tiers, assign splits and recalibrate as `cfg` says. Raises UserError where the table lacks something."""
    notes = [*answers.notes, *cost_unit(answers)[1]]
    raw = with_splits(pair(answers, cfg.signal, cfg.large), cfg, answers, notes)
    old = None
    if before is not None:
        old = with_splits(pair(answers, cfg.signal, cfg.large, slm=before), cfg, answers, [])
    if np.isnan(raw.confidence).all() and cfg.signal == "verbalized":
        notes.append(no_confidence(answers.path))
    now = raw
    maps: dict[str, FittedMap] = {}
    if cfg.recalibrate != "none":
        now, maps = _recalibrated(raw, cfg, answers.path)
        old = _recalibrated(old, cfg, answers.path)[0] if old is not None else None
        notes.append(f"the signal is recalibrated ({cfg.recalibrate}) on half of the calibration questions")
    return QuestionSets(now=now, raw=raw, before=old, names=_names(now, answers, cfg, notes), notes=notes, maps=maps)


def add_combined(answers: Answers, before: Answers | None, cfg: CascadeConfig) -> tuple[Answers, Stacks]:
    """The table with the signal `combined` where it can be fitted, and its stacks; `before` as in question_sets.

    Returns the table of `before` instead of `answers` where one is given. Raises UserError where the configured signal
    is `combined` and cannot be fitted.
    """
    table = before or answers
    names = features_of(table)
    found = None
    if COMBINED in table.signals or not (cfg.compare or cfg.signal == COMBINED):
        return table, {}
    if names:
        pairs = with_splits(pair(answers, names[0], cfg.large, slm=before), cfg, answers, [], COMBINED)
        seen = pairs.split == FITTED
        keys = pd.MultiIndex.from_arrays([pairs.dataset[seen].astype(str), pairs.question_id[seen].astype(str)])
        found = with_combined(table, keys, cfg.seed)
    if found is None and cfg.signal == COMBINED:
        raise UserError(
            f"{table.path}: cascade.signal=combined: needs two of {', '.join((*FEATURES, LENGTH))} and about "
            f"{2 * LEAST_STACKED} calibration questions in each dataset, some right and some wrong; found "
            f"{', '.join(names) or 'no confidence'}; cascade.split_fraction=0.5 sets questions aside"
        )
    return found or (table, {})


def maps_of(questions: QuestionSets, stacks: Stacks, cfg: CascadeConfig) -> dict[str, dict[int, FittedMap]]:
    """Dataset -> tier -> map of the configured signal; empty where it is used as it is."""
    if cfg.signal == COMBINED:
        return {name: dict(of_tier) for name, of_tier in stacks.items()}
    return {name: {0: fitted} for name, fitted in questions.maps.items()}


def with_splits(
    pairs: Pairs, cfg: CascadeConfig, answers: Answers, notes: list[str], signal: str | None = None
) -> Pairs:
    """Ensure that there are test questions; take calibration questions by hash if `cfg.split_fraction` is set.

    Calibration questions that `signal` (default: the configured one) was fitted on get the split FITTED: thresholds are
    not chosen on them. A table with questions of that split has set them aside itself. Remarks are appended to `notes`.
    """
    pairs = _divided(pairs, cfg, answers.path, notes)
    if (signal or cfg.signal) in FITTED_SIGNALS and answers.fit is not None:
        number = len(answers.fit.drop_duplicates(["dataset", "question_id"]))
        notes.append(f"the signal is fitted on the {number:,} questions of the split {FITTED}")
    elif (signal or cfg.signal) in FITTED_SIGNALS:
        seen = (pairs.split == cfg.calibration_split) & fit_part(pairs.dataset, pairs.question_id)
        pairs = replace(pairs, split=np.where(seen, FITTED, pairs.split).astype(object))
        notes.append(f"the signal is fitted: thresholds are not chosen on the {int(seen.sum())} questions of the fit")
    return pairs


def _divided(pairs: Pairs, cfg: CascadeConfig, path: str, notes: list[str]) -> Pairs:
    found = sorted(set(pairs.split))
    if found == [""]:
        if cfg.split_fraction is None:
            notes.append("no column split: every question is a test question, and rules have nothing to choose on")
            pairs.split = np.full(len(pairs), cfg.test_split, object)
            return pairs
        return split_by_hash(pairs, cfg.split_fraction, cfg.seed, cfg.calibration_split, cfg.test_split)
    if cfg.test_split not in found:
        raise UserError(f"{path}: cascade.test_split={cfg.test_split}: column split holds {', '.join(found)}")
    if cfg.calibration_split not in found:
        if cfg.split_fraction is not None:
            pairs = pairs.where(pairs.split == cfg.test_split)
            return split_by_hash(pairs, cfg.split_fraction, cfg.seed, cfg.calibration_split, cfg.test_split)
        notes.append(f"column split holds no {cfg.calibration_split}: rules have nothing to choose on")
    other = [s or "(null)" for s in found if s not in (cfg.test_split, cfg.calibration_split)]
    if other:
        notes.append(f"questions of the splits {', '.join(other)} are left out")
    return pairs


def _recalibrated(pairs: Pairs, cfg: CascadeConfig, path: str) -> tuple[Pairs, dict[str, FittedMap]]:
    mapped = recalibrated(pairs, cfg.recalibrate, cfg)
    if mapped is None:
        raise UserError(
            f"{path}: cascade.recalibrate={cfg.recalibrate}: needs {2 * LEAST} calibration questions with a confidence "
            "in each dataset, some right and some wrong; cascade.split_fraction=0.3 sets some aside"
        )
    return mapped


def _names(pairs: Pairs, answers: Answers, cfg: CascadeConfig, notes: list[str]) -> list[str]:
    """Datasets that have test questions, the primary one first."""
    tested = set(pairs.dataset[pairs.split == cfg.test_split])
    names = [name for name in answers.datasets if name in tested]
    if not names:
        raise UserError(f"{answers.path}: none of its {len(pairs):,} questions is a test question; more are needed")
    lacking = [name for name in answers.datasets if name not in tested]
    if lacking:
        notes.append(f"no test questions, left out: {', '.join(lacking)}")
    if cfg.primary is not None:
        if cfg.primary not in names:
            raise UserError(f"{answers.path}: cascade.primary={cfg.primary}: allowed is {', '.join(names)}")
        names.sort(key=lambda name: name != cfg.primary)
    return names
