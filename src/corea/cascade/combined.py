"""The signal `combined`: a logistic stack of the signals of an answer, as the column confidence_combined.

Its features are the signals FEATURES that the table has and the log of the completion length. One stack is fitted for
each dataset and tier on the fit part of the calibration questions (answers/fit_part.py), with squares and products of
features where cross-validation prefers them (fitted_maps.py). Thresholds are chosen on the other part.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from corea.answers.table import Answers, signal_column
from corea.cascade.fitted_maps import LENGTH, Stack, apply, fit_stack
from corea.config.allowed_names import KINDS

COMBINED = "combined"
FEATURES = tuple(kind.name for kind in KINDS if kind.stacked)
"""Signals of an answer."""
LEAST = 40
"""Fewest questions that a stack is fitted on."""
MOST = 20_000
"""Most questions that a stack is fitted on; more hardly change its coefficients."""

Stacks = dict[str, dict[int, Stack]]
"""Dataset -> tier -> stack."""


def features_of(table: Answers) -> list[str]:
    """The features of `combined` in this table; fewer than two, or no signal, give no stack."""
    names = [name for name in FEATURES if name in table.signals]
    lengths = "completion_tokens" in table.frame and table.frame["completion_tokens"].notna().any()
    return names + ([LENGTH] if names and lengths else [])


def with_combined(table: Answers, fit: pd.MultiIndex, seed: int) -> tuple[Answers, Stacks] | None:
    """The table with the column confidence_combined, and the stacks; None where a stack cannot be fitted.

    Args:
        table: answers of one or more tiers; those of the split "fit" are fitted on as well.
        fit: (dataset, question_id) of further questions to fit on.
        seed: of the cross-validation.
    """
    names = features_of(table)
    if len(names) < 2 or not (len(fit) or table.fit is not None):
        return None
    frame, size = _with_fit(table), len(table.frame)
    dataset = frame["dataset"].to_numpy(object)
    wanted = (_member(frame, fit) | (np.arange(len(frame)) >= size)) & _first(frame)
    correct = frame["correct"].to_numpy() == 1
    tiers = frame["tier"].to_numpy()
    combined = np.full(len(frame), np.nan)
    stacks: Stacks = {}
    for name in dict.fromkeys(dataset[wanted]):
        for tier in np.unique(tiers[dataset == name]):
            inside = (dataset == name) & (tiers == tier)
            values = {feature: _values(frame, feature)[inside] for feature in names}
            stated = ~np.all([np.isnan(v) for f, v in values.items() if f != LENGTH], axis=0)
            rows = np.flatnonzero(wanted[inside] & stated)[:MOST]
            right = correct[inside][rows]
            if len(rows) < LEAST or len(np.unique(right)) < 2:
                if tier == 0:
                    return None
                continue  # a larger tier without confidences is never asked for one
            stacks.setdefault(str(name), {})[int(tier)] = fit_stack(
                {f: v[rows] for f, v in values.items()}, right, seed
            )
            combined[inside] = apply(stacks[str(name)][int(tier)], values)
    sampled = (*table.sampled, COMBINED) if "vote" in names else table.sampled
    return replace(table, frame=table.frame.assign(confidence_combined=combined[:size]), sampled=sampled), stacks


def _with_fit(table: Answers) -> pd.DataFrame:
    """The rows of the table, then those of the split "fit" whose dataset the table has."""
    if table.fit is None:
        return table.frame
    names = table.frame["dataset"].cat.categories
    fit = table.fit[table.fit["dataset"].isin(names)]
    both = pd.concat([table.frame.assign(dataset=table.frame["dataset"].astype(object)), fit], ignore_index=True)
    return both.assign(dataset=pd.Categorical(both["dataset"], categories=names))


def _member(frame: pd.DataFrame, fit: pd.MultiIndex) -> np.ndarray:
    """[rows] True for the answers to a question of `fit`."""
    ids, names = pd.factorize(frame["question_id"])
    place = {name: i for i, name in enumerate(frame["dataset"].cat.categories)}
    keys = ids + frame["dataset"].cat.codes.to_numpy().astype(np.int64) * len(names)
    of_fit = names.get_indexer(fit.get_level_values(1)) + len(names) * np.array(
        [place[d] for d in fit.get_level_values(0)]
    )
    return np.isin(keys, of_fit)


def _first(frame: pd.DataFrame) -> np.ndarray:
    """[rows] True for the lowest sample of each question and tier; the frame is sorted by that key."""
    keys = ["dataset", "question_id", "tier"]
    return ~frame.duplicated(keys).to_numpy()


def _values(frame: pd.DataFrame, feature: str) -> np.ndarray:
    column = "completion_tokens" if feature == LENGTH else signal_column(feature)
    return frame[column].to_numpy(np.float64, na_value=np.nan)
