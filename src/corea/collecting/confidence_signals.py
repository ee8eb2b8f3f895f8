"""Confidence signals of the answers, as columns confidence_<signal>.

expected  mean of the stated confidence over the distribution of its tokens (tasks/expectation.py)
avg_prob  mean probability of the completion's tokens under the sampling distribution
vote      share of a question's samples with the same answer; it costs all samples
probe     logistic regression on the hidden state after the completion
router    logistic regression on the words of the question, before it is answered

expected, avg_prob and the hidden state are recorded while the model answers. Probe and router are fitted on one half of
the calibration questions (answers/fit_part.py). All other questions get scores from that one fit, so scores of the
other half are exchangeable with those of new questions, and thresholds are chosen there. The questions of the fit get
out-of-fold scores (cross-validation), on which a stack of several signals can be fitted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from corea.answers.fit_part import is_fit_part
from corea.collecting.answer_rows import Answered
from corea.collecting.plan import CALIBRATION, Tier
from corea.config import OpenAIEngineConfig
from corea.errors import UserError
from corea.tasks.expectation import expected_confidence
from corea.types import DISTRIBUTIONS, LOGPROBS, STATES, Completion

NEEDS = {"expected": ("tail", DISTRIBUTIONS), "probe": ("state", STATES)}
"""Signal -> its key in Completion.extra, and its name in Sampling.record."""
FOLDS = 5
LEAST = 50
"""Minimum number of questions that a probe or router is fitted on."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation strengths that cross-validation chooses from."""


def to_record(signals: Sequence[str], server: bool = False) -> tuple[str, ...]:
    """Values of Sampling.record for `signals`; a `server` gives log-probabilities only if it is asked for them."""
    found = {NEEDS[s][1] for s in signals if s in NEEDS}
    return tuple(sorted(found | ({LOGPROBS} if server and "avg_prob" in signals else set())))


def check_signals(tier: Tier) -> None:
    """Check, before a call is paid for, that no signal is asked for that servers do not give.

    Raises:
        UserError: one is.
    """
    if isinstance(tier.engine, OpenAIEngineConfig):
        for signal in tier.signals:
            if signal in ("avg_prob", *NEEDS):
                raise _not_given(tier, signal)


def _not_given(tier: Tier, signal: str) -> UserError:
    return UserError(f"signals: engine={tier.engine.name} does not provide {signal}; engine=hf does")


def note(tier: Tier, completions: Sequence[Completion]) -> None:
    """Compute signals from the data that the engine recorded, in place, before the answers are stored.

    Raises:
        UserError: the engine recorded nothing.
    """
    for completion in completions:
        if completion.finish_reason == "error":
            continue
        given = {s for s in tier.signals if f"confidence_{s}" in completion.extra}  # by a recording
        for signal in set(tier.signals) - given:
            if signal in NEEDS and NEEDS[signal][0] not in completion.extra:
                raise _not_given(tier, signal)
        tail = completion.extra.pop("tail", None)
        if "expected" in tier.signals and "expected" not in given:
            completion.extra["confidence_expected"] = expected_confidence(tail, tier.percent)
        if "avg_prob" in tier.signals and "avg_prob" not in given:
            if not completion.logprobs and completion.completion_tokens:
                raise UserError(
                    f"signals: avg_prob needs log-probabilities, which engine={tier.engine.name} does not provide"
                )
            completion.extra["confidence_avg_prob"] = float(np.exp(completion.logprobs).mean())


def add_signals(tier: Tier, answered: Sequence[Answered], rows: list[dict[str, Any]], seed: int) -> None:
    """Add the columns of vote, probe and router to the rows of one tier, in place; rows[i] is that of answered[i]."""
    if "vote" in tier.signals:
        _add_votes(rows)
    first = [i for i, a in enumerate(answered) if a.sample == 0 and a.completion.finish_reason != "error"]
    calibration = np.array([rows[i]["split"] == CALIBRATION for i in first], bool)
    part = [is_fit_part(str(rows[i]["dataset"]), str(rows[i]["question_id"])) for i in first]
    known = calibration & np.array(part, bool)
    right = np.array([bool(rows[i]["correct"]) for i in first], bool)
    for name in ("probe", "router"):
        if name not in tier.signals:
            continue
        if known.sum() < LEAST or len(np.unique(right[known])) < 2:
            raise UserError(
                f"signals: {name} needs {LEAST} questions to be fitted on, some right and some wrong, which is half of "
                f"the calibration questions; {tier.name} has {int(known.sum())} with {int(right[known].sum())} right"
            )
        material = (
            np.stack([_state(answered[i].completion) for i in first])
            if name == "probe"
            else np.array([answered[i].question.text for i in first], object)
        )
        values = predicted(name, material, right, known, seed)
        for i, value in zip(first, values, strict=True):
            rows[i][f"confidence_{name}"] = float(value)


def _state(completion: Completion) -> np.ndarray:
    return np.frombuffer(base64.b64decode(completion.extra["state"]), np.float16).astype(np.float64)


def _add_votes(rows: list[dict[str, Any]]) -> None:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["question_id"]), []).append(row)
    for group in groups.values():
        for row, share in zip(group, vote_shares([row["answer"] for row in group]), strict=True):
            row["confidence_vote"] = share


def vote_shares(answers: Sequence[str | None]) -> list[float | None]:
    """Share of the samples of one question with the same answer as each; None where a sample has no answer."""
    plain = [plain_answer(answer) for answer in answers]
    return [None if answer is None else plain.count(answer) / len(plain) for answer in plain]


def plain_answer(answer: str | None) -> str | None:
    """The answer without white space and case, for comparing answers."""
    return None if answer is None else re.sub(r"\s+", "", answer).casefold()


def predicted(kind: str, material: np.ndarray, right: np.ndarray, known: np.ndarray, seed: int) -> np.ndarray:
    """[N] probability of being right, from one fit on the questions of `known` [N], whose own scores are out-of-fold.

    Args:
        material: hidden states [N, D] for "probe", question texts [N] for "router".
        right: [N] verdicts; those outside `known` are not used.
    """
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = _model(kind, seed)
    values = np.empty(len(right))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    values[known] = cross_val_predict(model, material[known], right[known], cv=folds, method="predict_proba")[:, 1]
    if not known.all():
        fitted = clone(model).fit(material[known], right[known])
        values[~known] = fitted.predict_proba(material[~known])[:, 1]
    return values


def _model(kind: str, seed: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    strengths = [s * (1.0 if kind == "probe" else 100.0) for s in STRENGTHS]
    logistic = GridSearchCV(
        LogisticRegression(max_iter=500), {"C": strengths}, scoring="neg_log_loss", cv=folds, error_score="raise"
    )
    if kind == "probe":
        return make_pipeline(StandardScaler(), logistic)
    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2, max_features=20_000, sublinear_tf=True)
    return make_pipeline(words, logistic)
