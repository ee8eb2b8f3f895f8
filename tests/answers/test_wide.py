"""Wide tables: one row per question and some columns per tier, by hand and as other projects publish them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from corea.answers.table import read_answers
from corea.answers.wide import read_wide
from corea.config import EvaluateConfig
from corea.config.cascade_schema import CascadeConfig
from corea.config.wide_schema import WideTierConfig
from corea.errors import UserError
from corea.evaluation.pipeline import run_evaluation

SHARED = Path(os.environ.get("COREA_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SMALL = {"name": "small", "correct": "s_ok", "confidence": "s_p", "cost_usd": "s_cost"}
LARGE = {"name": "large", "correct": "l_ok"}


def tiers(*parts: dict[str, str]) -> list[WideTierConfig]:
    return [WideTierConfig(**part) for part in parts]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "wide.csv"
    path.write_text("id,set,s_ok,s_p,s_cost,l_ok\nb,x,1,0.5,0.1,1\na,x,0,,0.2,1\nc,y,1.0,0.25,0.3,false\n")
    return path


def test_each_row_becomes_one_answer_per_tier(table: Path) -> None:
    found = read_wide(table, tiers(SMALL, {**LARGE, "cost_usd": "2"}), names={"question_id": "id", "dataset": "set"})
    columns = ["dataset", "question_id", "tier", "model", "correct", "confidence", "cost_usd"]
    rows = found.frame[columns].astype(object).where(found.frame[columns].notna(), None).to_numpy().tolist()
    assert rows == [
        ["x", "a", 0, "small", 0.0, None, 0.2],
        ["x", "a", 1, "large", 1.0, None, 2.0],
        ["x", "b", 0, "small", 1.0, 0.5, 0.1],
        ["x", "b", 1, "large", 1.0, None, 2.0],
        ["y", "c", 0, "small", 1.0, 0.25, 0.3],
        ["y", "c", 1, "large", 0.0, None, 2.0],
    ]
    assert (found.datasets, found.notes) == (["x", "y"], [])


def test_a_wide_table_and_its_long_form_are_the_same(table: Path, tmp_path: Path) -> None:
    wide = read_wide(table, tiers(SMALL, LARGE), names={"question_id": "id"})
    wide.frame.drop(columns=["graded"]).to_parquet(tmp_path / "long.parquet")
    long = read_answers(tmp_path / "long.parquet")
    pd.testing.assert_frame_equal(
        wide.frame[sorted(wide.frame)].astype({"model": object, "dataset": object}),
        long.frame[sorted(wide.frame)].astype({"model": object, "dataset": object}),
        check_dtype=False,
    )


def test_rows_without_a_name_are_numbered_and_a_note_says_so(table: Path) -> None:
    found = read_wide(table, tiers(SMALL, LARGE))
    assert found.frame["question_id"].tolist() == ["1", "1", "2", "2", "3", "3"]
    assert found.notes == [
        "the table has no column question_id: its rows are numbered; columns.question_id names one, e.g. "
        "columns.question_id=id"
    ]


@pytest.mark.parametrize(
    ("change", "names", "message"),
    [
        ({"correct": "s_okay"}, {}, "tiers.0.correct=s_okay: no such column; perhaps s_ok; the file has id, set, s_ok"),
        ({"cost_usd": "cost"}, {}, "tiers.0.cost_usd=cost: no such column; perhaps s_cost"),
        (
            {"correct": "s_p"},
            {},
            "correct/incorrect, C/I): 2 rows (1, 3), first '0.5'",
        ),
        ({"confidence": "set"}, {}, "column set: not a number"),
        ({}, {"question_id": "name"}, "columns.question_id=name: no such column"),
        ({}, {"question_id": "set"}, "column set: duplicate key"),
        ({}, {"confidence": "s_p"}, "columns.confidence=s_p: belongs to a tier: give it in tiers"),
    ],
)
def test_a_mistake_is_one_line(table: Path, change: dict[str, str], names: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as error:
        read_wide(table, tiers({**SMALL, **change}, LARGE), names=names)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_one_tier_is_refused(table: Path) -> None:
    with pytest.raises(ValueError, match=r"tiers=\[small\]: allowed is none, or two tiers and more"):
        EvaluateConfig(answers=str(table), cascade=CascadeConfig(name="test"), tiers=tiers(SMALL))


def test_a_long_reader_points_to_tiers(table: Path) -> None:
    with pytest.raises(UserError, match=r"one row per question is read with tiers=\[...\]"):
        read_answers(table)


RECORDED = {
    "recorded_cascades/arc_challenge_wide.csv": (
        tiers(
            {"name": "1B", "correct": "base_correct", "confidence": "base_prob", "cost_usd": "base_cost"},
            {"name": "8B", "correct": "large_correct", "confidence": "large_prob", "cost_usd": "large_cost"},
        ),
        {"question_id": "id"},
        ("base_correct", "large_correct"),
    ),
    "formats/routellm/mmlu_sums.csv": (
        tiers(
            {"name": "mixtral", "correct": "mixtral-8x7b-instruct-v0.1"},
            {"name": "gpt-4", "correct": "gpt-4-1106-preview"},
        ),
        {},
        ("mixtral-8x7b-instruct-v0.1", "gpt-4-1106-preview"),
    ),
    "formats/routerbench/routerbench_0shot.csv": (
        tiers(
            {"name": "small", "correct": "small", "cost_usd": "small|total_cost"},
            {"name": "large", "correct": "large", "cost_usd": "large|total_cost"},
        ),
        {"question_id": "sample_id", "dataset": "eval_name"},
        ("small", "large"),
    ),
    "gsm8k/gpt4_mixtral_responses.csv": (
        tiers(
            {"name": "mixtral", "correct": "mistralai/Mixtral-8x7B-Instruct-v0.1", "cost_usd": "0.0002"},
            {"name": "gpt-4", "correct": "gpt-4-1106-preview", "cost_usd": "0.01"},
        ),
        {},
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_published_wide_tables_are_evaluated(name: str) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    parts, names, correct = RECORDED[name]
    cascade = CascadeConfig(name="test", split_fraction=0.3, resamples=20)
    results = run_evaluation(EvaluateConfig(answers=str(path), tiers=parts, columns=names, cascade=cascade))
    expected = pd.read_csv(path)
    assert results.answers.rows == 2 * len(expected)
    found = read_wide(path, parts, names=names).frame.groupby("tier")["correct"].mean().tolist()
    assert found == pytest.approx([expected[c].astype(float).mean() for c in correct])
