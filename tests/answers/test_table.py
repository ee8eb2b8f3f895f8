"""The answers table: what is read, and every mistake with its file, column and rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from answer_tables import write_jsonl
from corea.answers.pairs import cost_unit, pair, split_by_hash
from corea.answers.table import read_answers
from corea.errors import UserError
from corea.prices import LLM_CALLS, USD


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
def test_formats_give_the_same_pairs(tmp_path: Path, hand_rows: list[dict[str, Any]], suffix: str) -> None:
    path = tmp_path / f"answers{suffix}"
    if suffix == ".jsonl":
        write_jsonl(path, hand_rows)
    elif suffix == ".csv":
        pd.DataFrame(hand_rows).to_csv(path, index=False)
    else:
        pd.DataFrame(hand_rows).to_parquet(path, index=False)
    pairs = pair(read_answers(path), "verbalized")
    assert list(pairs.question_id) == ["a", "b", "c", "d", "e"]
    np.testing.assert_array_equal(pairs.confidence, [0.9, 0.8, 0.8, 0.3, np.nan])
    assert pairs.slm_correct.tolist() == [True, False, True, False, False]
    assert pairs.llm_correct.tolist() == [True, True, False, True, False]
    assert (pairs.unit, pairs.slm_cost.sum(), pairs.llm_cost.sum()) == (USD, 5.0, 50.0)
    assert pairs.status.tolist() == ["ok"] * 4 + ["unparsed_confidence"]


def test_the_order_of_rows_never_matters(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    forward = pair(read_answers(write_jsonl(tmp_path / "a.jsonl", hand_rows)), "verbalized")
    backward = pair(read_answers(write_jsonl(tmp_path / "b.jsonl", hand_rows[::-1])), "verbalized")
    assert list(forward.question_id) == list(backward.question_id)
    np.testing.assert_array_equal(forward.confidence, backward.confidence)
    np.testing.assert_array_equal(forward.llm_correct, backward.llm_correct)


def test_the_lowest_sample_answers(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    second = [{**hand_rows[0], "sample": 3, "confidence": 0.1}, {**hand_rows[0], "sample": 1, "confidence": 0.2}]
    pairs = pair(read_answers(write_jsonl(tmp_path / "a.jsonl", [*second, *hand_rows[1:]])), "verbalized")
    assert pairs.confidence[0] == 0.2


def test_float32_means_its_decimal(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    frame = pd.DataFrame(hand_rows).astype({"confidence": "float32"})
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    assert pair(read_answers(tmp_path / "a.parquet"), "verbalized").confidence[0] == 0.9


def change(row: int, **values: Any):
    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**r, **values} if i == row else r for i, r in enumerate(rows)]

    return edit


def drop(column: str):
    return lambda rows: [{k: v for k, v in r.items() if k != column} for r in rows]


MISTAKES = {
    "confidence of 1.7": (
        change(2, confidence=1.7),
        r"column confidence: outside \[0, 1\]: row 3, first 1.7 of question b",
    ),
    "NaN confidence": (change(2, confidence=float("nan")), r"column confidence: NaN .* null: row 3"),
    "confidence as a word": (change(2, confidence="high"), r"column confidence: not a number: row 3, first 'high'"),
    "duplicate key": (lambda rows: [*rows, rows[0]], r"column question_id: duplicate key .*: row 11, first 'a'"),
    "same question in two splits": (
        lambda rows: [*({**r, "split": "test"} for r in rows), {**rows[0], "split": "calibration"}],
        r"duplicate key .*: row 11",
    ),
    "question without a tier": (lambda rows: rows[:-1], r"1 of 5 questions have no row of tier 1: e"),
    "no large tier": (lambda rows: rows[::2], r"column tier holds 0; a cascade needs tier 0"),
    "no small tier": (lambda rows: rows[1::2], r"column tier holds 1; a cascade needs tier 0"),
    "tier 0.5": (change(0, tier=0.5), r"column tier: allowed is a whole number >= 0: row 1, first 0.5"),
    "tier null": (change(0, tier=None), r"column tier: .*row 1, first None"),
    "missing column": (drop("correct"), r"required column missing: correct; required are question_id, tier, correct"),
    "ungraded": (change(0, correct=None), r"column correct: not graded; null is allowed with status error, .*: row 1"),
    "correct of 2": (change(0, correct=2), r"column correct: allowed is true, false, 1, 0 or null: row 1, first 2"),
    "unknown status": (change(0, status="fine"), r"column status: allowed is ok, .*: row 1, first 'fine'"),
    "negative cost": (change(0, cost_usd=-1.0), r"column cost_usd: allowed is a finite number >= 0: row 1, first -1.0"),
    "no question id": (change(0, question_id=None), r"column question_id: a value is required: row 1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(tmp_path: Path, hand_rows: list[dict[str, Any]], name: str) -> None:
    edit, message = MISTAKES[name]
    path = write_jsonl(tmp_path / "answers.jsonl", list(edit(hand_rows)))
    with pytest.raises(UserError, match=message) as error:
        read_answers(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_nan_in_parquet_is_no_null(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(hand_rows)
    values = pa.array([float("nan"), *table["confidence"].to_pylist()[1:]], from_pandas=False)
    pq.write_table(
        table.set_column(table.schema.get_field_index("confidence"), "confidence", values), tmp_path / "a.parquet"
    )
    with pytest.raises(UserError, match="NaN is not a number; a missing value is null: row 1"):
        read_answers(tmp_path / "a.parquet")


def test_damaged_files(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    whole = tmp_path / "whole.parquet"
    pd.DataFrame(hand_rows).to_parquet(whole, index=False)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-100])
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "blank.jsonl").write_text("\n\n")
    (tmp_path / "header.csv").write_text("question_id,tier,correct\n")
    (tmp_path / "half.jsonl").write_text(json.dumps(hand_rows[0]) + '\n{"question_id": "b", "ti')
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    (tmp_path / "answers.xlsx").write_bytes(b"x")
    expected = {
        "cut.parquet": "not a readable Parquet file",
        "empty.parquet": "the file is empty",
        "empty.jsonl": "the file is empty",
        "blank.jsonl": "holds no rows",
        "header.csv": "holds no rows",
        "half.jsonl": "line 2 is not JSON",
        "list.jsonl": "line 1 is not a JSON object",
        "answers.xlsx": "allowed is a file ending in .parquet",
        "nothing.parquet": "no such file",
        ".": "is a folder",
    }
    for name, message in expected.items():
        with pytest.raises(UserError, match=message):
            read_answers(tmp_path / name)


def test_ungraded_failures_count_as_wrong_and_failed_calls_are_free(
    tmp_path: Path, hand_rows: list[dict[str, Any]]
) -> None:
    rows = change(1, status="error", correct=None, cost_usd=None)(hand_rows)
    answers = read_answers(write_jsonl(tmp_path / "answers.jsonl", rows))
    pairs = pair(answers, "verbalized")
    assert not pairs.llm_correct[0]
    assert (pairs.unit, pairs.llm_cost[0]) == (USD, 0.0)
    assert answers.notes == ["1 answers without a verdict (nothing to grade) count as wrong"]


def test_questions_whose_gold_cannot_be_read_are_left_out(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    rows = [{**r, "outcome": "correct" if r["correct"] else "wrong"} for r in hand_rows]
    rows = change(0, outcome="unreadable_gold", correct=None)(rows)  # tier 0 of question a; tier 1 has its verdict
    answers = read_answers(write_jsonl(tmp_path / "answers.jsonl", rows))
    assert pair(answers, "verbalized").question_id.tolist() == ["b", "c", "d", "e"]
    assert answers.notes == ["1 questions are left out: the grader cannot read their gold answer"]
    nothing = [{**r, "outcome": "unreadable_gold", "correct": None} for r in hand_rows]
    with pytest.raises(UserError, match="the grader could read no gold answer"):
        read_answers(write_jsonl(tmp_path / "answers.jsonl", nothing))


def test_without_prices_cost_is_llm_calls(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    answers = read_answers(write_jsonl(tmp_path / "a.jsonl", drop("cost_usd")(hand_rows)))
    assert cost_unit(answers)[0] == LLM_CALLS
    pairs = pair(answers, "verbalized")
    assert (pairs.slm_cost.tolist(), pairs.llm_cost.tolist()) == ([0] * 5, [1] * 5)
    partly = read_answers(write_jsonl(tmp_path / "b.jsonl", change(0, cost_usd=None)(hand_rows)))
    assert "1 of 10 answers have no cost_usd" in cost_unit(partly)[1][0]


def test_signals_and_larger_tiers(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    third = [{**r, "tier": 2, "correct": True, "cost_usd": 100.0} for r in hand_rows if r["tier"] == 1]
    rows = [{**r, "confidence_vote": 0.5} for r in hand_rows + third]
    answers = read_answers(write_jsonl(tmp_path / "a.jsonl", rows))
    assert answers.signals == ["verbalized", "vote"]
    assert pair(answers, "vote").confidence.tolist() == [0.5] * 5
    assert pair(answers, "vote").llm_cost.sum() == 500
    assert pair(answers, "vote", large=1).llm_cost.sum() == 50
    with pytest.raises(UserError, match=r"cascade.signal=probe: allowed is verbalized, vote"):
        pair(answers, "probe")


def test_a_second_small_model_must_answer_the_same_questions(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    answers = read_answers(write_jsonl(tmp_path / "a.jsonl", hand_rows))
    rows = [{**r, "confidence": 0.5} for r in hand_rows if r["tier"] == 0]
    before = read_answers(write_jsonl(tmp_path / "b.jsonl", rows[::-1]), tiers=False)
    pairs = pair(answers, "verbalized", slm=before)
    assert pairs.confidence.tolist() == [0.5] * 5
    assert pairs.slm_correct.tolist() == [True, False, True, False, False]
    short = read_answers(write_jsonl(tmp_path / "c.jsonl", rows[1:]), tiers=False)
    with pytest.raises(UserError, match=r"c.jsonl: lacks 1 questions of the other table: all/a"):
        pair(answers, "verbalized", slm=short)


def test_split_by_hash_is_stable(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    pairs = pair(read_answers(write_jsonl(tmp_path / "a.jsonl", hand_rows)), "verbalized")
    both = split_by_hash(pairs, 0.5, 0, "calibration", "test")
    some = split_by_hash(pairs.where(np.array([False, True, True, False, True])), 0.5, 0, "calibration", "test")
    assert set(both.split) == {"calibration", "test"}
    assert some.split.tolist() == both.split[[1, 2, 4]].tolist()
    assert split_by_hash(pairs, 0.5, 1, "calibration", "test").split.tolist() != both.split.tolist()
