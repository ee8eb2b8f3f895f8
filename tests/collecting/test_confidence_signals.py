"""Signals that come with the answers: real models end to end, votes by hand, probes against what they learn."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from collect_helpers import collect, config
from sklearn.metrics import roc_auc_score

from corea.answers.fit_part import fit_part
from corea.answers.pairs import pair
from corea.answers.table import read_answers
from corea.collecting.confidence_signals import _add_votes, predicted
from corea.composition import compose
from corea.errors import UserError

ALL = "signals=[verbalized,expected,avg_prob,vote,probe,router]"
CHEAP = ["llm.max_tokens=2", "before=false", "chunk=200"]
"""What the LLM says does not matter here."""
MORE = ["data.families.in_domain.calibration=130", *CHEAP]


@pytest.fixture(scope="module")
def with_signals(trained, tmp_path_factory):
    """(run folder, rows) with all signals; its table is not to be written to."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("signals") / "run"))
    return folder, collect(folder, ALL, "samples=2", *MORE)


def test_all_signals_in_one_pass(run, with_signals):
    folder, rows = with_signals
    table = pd.read_parquet(folder / "answers.parquet")
    small, large = table[table.tier == 0], table[table.tier == 1]
    names = ["confidence_" + n for n in ("expected", "avg_prob", "vote", "probe", "router")]
    assert large[names].isna().all(axis=None)
    assert small[["confidence_expected", "confidence_avg_prob", "confidence_vote"]].notna().mean().min() > 0.9
    first = small[small["sample"] == 0]
    assert first[["confidence_probe", "confidence_router"]].notna().all(axis=None)
    assert first.confidence_expected.nunique() > 2 * first.confidence.nunique()
    # what was drawn has the mean of what it was drawn from: 152 draws with a spread of at most 0.5, 4 standard errors
    assert abs((first.confidence_expected - first.confidence).mean()) < 4 * 0.5 / len(first) ** 0.5
    assert set(small.confidence_vote.dropna()) <= {0.5, 1.0}
    assert small.confidence_expected.isna().equals(small.confidence.isna())
    plain = collect(run, *MORE)
    key = ["tier", "question_id"]
    first_rows = rows[rows["sample"] == 0].sort_values(key)
    assert plain.sort_values(key).text.tolist() == first_rows.text.tolist()  # recording changes no answer
    assert not [c for c in plain if c.startswith("confidence_")]


def test_a_vote_pays_all_samples(run):
    collect(run, "signals=[vote]", "samples=2", *CHEAP)
    answers = read_answers(run / "answers.parquet")
    frame = answers.frame[answers.frame.tier == 0]
    both = frame.groupby(["dataset", "question_id"], observed=True)["cost_usd"].sum()
    assert pair(answers, "vote").slm_cost.sum() == pytest.approx(both.sum())
    assert pair(answers, "verbalized").slm_cost.sum() == pytest.approx(frame[frame["sample"] == 0]["cost_usd"].sum())


def test_scores_of_questions_outside_the_fit_come_from_one_fit(with_signals):
    """What a probe says of a calibration question outside the fit does not depend on that question's own verdict."""
    table = pd.read_parquet(with_signals[0] / "answers.parquet")
    first = table[(table.tier == 0) & (table["sample"] == 0)]
    part = fit_part(first.dataset.to_numpy(), first.question_id.to_numpy()) & (first.split == "calibration").to_numpy()
    assert 40 < part.sum() < 100  # about half of the calibration questions
    texts, right = first.question.to_numpy(object), first.correct.to_numpy(bool)
    again = predicted("router", texts, np.where(part, right, False), part, seed=0)
    np.testing.assert_allclose(first.confidence_router.to_numpy()[~part], again[~part], rtol=0, atol=1e-12)


def test_votes_by_hand():
    answers = ["4", " 4", "5", None]
    rows = [{"dataset": "d", "question_id": "q", "answer": a} for a in answers]
    _add_votes(rows)
    assert [r["confidence_vote"] for r in rows] == [0.5, 0.5, 0.25, None]


@pytest.mark.parametrize("kind", ["probe", "router"])
def test_what_is_learned_comes_from_other_calibration_questions(kind):
    rng = np.random.default_rng(0)
    hard = rng.random(400) < 0.5
    right = rng.random(400) < np.where(hard, 0.1, 0.9)
    known = np.arange(400) < 300
    if kind == "probe":
        material = rng.normal(size=(400, 16))
        material[:, 3] += 3 * hard
    else:
        material = np.array([f"{'multiply' if h else 'add'} {rng.integers(1000)}" for h in hard], object)
    values = predicted(kind, material, right, known, seed=0)
    assert roc_auc_score(right[~known], values[~known]) > 0.8
    assert roc_auc_score(right[known], values[known]) > 0.8
    assert values[hard].mean() < 0.3 < 0.7 < values[~hard].mean()
    # verdicts of test questions are not looked at
    same = predicted(kind, material, np.where(known, right, ~right), known, seed=0)
    np.testing.assert_array_equal(same, values)
    # nothing can be learned from chance, and what a fit says of its own questions would look as if it could
    chance = rng.random(400) < 0.5
    assert abs(roc_auc_score(chance[known], predicted(kind, material, chance, known, seed=0)[known]) - 0.5) < 0.12


def test_mistakes(run):
    with pytest.raises(UserError, match=r"signals=certainty: allowed is verbalized, expected"):
        compose("collect", "logger=none", "signals=[certainty]")
    with pytest.raises(UserError, match=r"signals=\[vote\]: allowed is vote with samples=2 or more"):
        compose("collect", "logger=none", "signals=[vote]")
    with pytest.raises(UserError, match=r"probe needs 50 questions to be fitted on"):
        collect(run, "signals=[probe]", *CHEAP)
    assert config(run, "signals=[expected]")[0].signals == ["expected"]
