"""Records of unknown tools: the columns are found by names and values, wherever the records are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from corea.answers.importers.model_tables import ModelTable, read_guessed

PLAIN = [
    {"id": "a", "prompt": "3 + 4?", "response": "It is 7.", "reference": "7", "is_correct": True, "confidence": 0.75},
    {"id": "b", "prompt": "2 + 2?", "response": "I say 5.", "reference": "4", "is_correct": False, "confidence": 0.5},
]


def read(path: Path, value: Any) -> list[ModelTable]:
    lines = path.suffix == ".jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in value) if lines else json.dumps(value))
    found = read_guessed(str(path), None, {}, "columns")
    return [] if found is None else found.tables


def column(table: ModelTable, name: str) -> list[Any]:
    return table.columns.data[name].to_pylist()


def renamed(**names: str) -> list[dict[str, Any]]:
    return [{names.get(key, key): value for key, value in row.items()} for row in PLAIN]


@pytest.mark.parametrize(
    "rows",
    [
        PLAIN,
        renamed(id="custom_id", prompt="input", response="output", reference="target", is_correct="acc"),
        renamed(id="idx", prompt="problem", response="completion", reference="gold", is_correct="passed"),
        renamed(id="qid", prompt="query", response="modelOutput", reference="groundTruth", is_correct="Correct"),
        renamed(id="uid", prompt="question", response="prediction", reference="answer", is_correct="score"),
        renamed(id="task_id", prompt="instruction", response="generation", reference="label", is_correct="success"),
        renamed(prompt="metadata", is_correct="judged_fine"),
        [{**row, "length": 7.5, "time": 0.2, "judge": "x"} for row in PLAIN],
        [{**row, "is_correct": "yes" if row["is_correct"] else "no"} for row in PLAIN],
    ],
)
def test_common_names_are_found(tmp_path: Path, rows: list[dict[str, Any]]):
    for name in ("records.json", "records.jsonl"):
        (table,) = read(tmp_path / name, rows)
        assert column(table, "question_id") == ["a", "b"]
        assert column(table, "correct") == [True, False]
        assert column(table, "text") == ["It is 7.", "I say 5."]
        assert column(table, "gold") == ["7", "4"]
        assert column(table, "confidence") == [0.75, 0.5]


def test_cases_of_several_runs_are_records_of_their_models(tmp_path: Path):
    def case(number: int, right: bool, sure: float | None) -> dict[str, Any]:
        return {"case": f"c{number}", "completion": {"text": "It is 7."}, "grade": {"passed": right}, "certainty": sure}

    runs = [
        {"run": {"llm": "tiny", "date": "2026"}, "cases": [case(0, True, 0.5), case(1, False, 0.25)]},
        {"run": {"llm": "big", "date": "2026"}, "cases": [case(0, True, None), case(1, True, None)]},
    ]
    tiny, big = read(tmp_path / "suite.json", {"suite": "mine", "runs": runs})
    assert (column(tiny, "question_id"), column(big, "question_id")) == (["c0", "c1"], ["c0", "c1"])
    assert (column(tiny, "correct"), column(big, "correct")) == ([True, False], [True, True])
    assert (column(tiny, "confidence"), column(tiny, "text")) == ([0.5, 0.25], ["It is 7."] * 2)


def test_the_csv_of_an_a_b_test_has_two_models(tmp_path: Path):
    lines = ["ticket,variant,reply,thumbs,conf_pct"]
    lines += ["T0,A,hello,up,90", "T0,B,hi,up,", "T1,A,bye,down,35", "T1,B,so long,up,"]
    (tmp_path / "ab.csv").write_text("\n".join(lines))
    found = read_guessed(str(tmp_path / "ab.csv"), None, {}, "columns")
    assert found is not None
    first, second = found.tables
    assert (column(first, "question_id"), column(second, "question_id")) == (["T0", "T1"], ["T0", "T1"])
    assert (column(first, "correct"), column(second, "correct")) == ([True, False], [True, True])
    assert column(first, "confidence") == [90, 35]


@pytest.mark.parametrize(
    "value",
    [
        {"run": {"config": {"a": 1}}, "results": {"samples": PLAIN}},
        {"accuracy": 0.5, "details": {"kind": "GEN", **{row["id"]: row for row in PLAIN}}},
        {"columns": list(PLAIN[0]), "data": [list(row.values()) for row in PLAIN]},
        {key: [row[key] for row in PLAIN] for key in PLAIN[0]},
        [{"model": "m", "results": PLAIN}],
        [
            {"id": r["id"], "doc": {"prompt": r["prompt"], "reference": r["reference"]}, "confidence": r["confidence"]}
            | {"response": {"choices": [{"message": {"content": r["response"]}}]}, "scores": {"em": r["is_correct"]}}
            for r in PLAIN
        ],
        [
            {
                "item": {"id": r["id"], "answer": r["reference"]},
                "confidence": r["confidence"],
                "grade_is_correct": r["is_correct"],
            }
            | {"messages": [{"role": "user", "content": r["prompt"]}, {"role": "assistant", "content": r["response"]}]}
            for r in PLAIN
        ],
    ],
    ids=["nested list", "by id", "W&B table", "columns", "list in a list", "nested values", "chats"],
)
def test_records_are_found_wherever_they_are(tmp_path: Path, value: Any):
    (table,) = read(tmp_path / "records.json", value)
    assert column(table, "question_id") == ["a", "b"]
    assert column(table, "correct") == [True, False]
    assert column(table, "text") == ["It is 7.", "I say 5."]
    assert column(table, "gold") == ["7", "4"]
    assert column(table, "question") == ["3 + 4?", "2 + 2?"]
    assert column(table, "confidence") == [0.75, 0.5]


@pytest.mark.parametrize(
    "value",
    [
        [{**row, "model": m, "is_correct": m == "big" or row["is_correct"]} for row in PLAIN for m in ("big", "tiny")],
        {"big": [{**row, "is_correct": True} for row in PLAIN], "tiny": PLAIN},
        [{"id": r["id"], "big_correct": True, "tiny_correct": r["is_correct"]} for r in PLAIN],
        [{"id": r["id"], "runs": {"big": {"passed": 1}, "tiny": {"passed": int(r["is_correct"])}}} for r in PLAIN],
        [
            {
                "id": r["id"],
                "answers": [{"model": "big", "correct": True}, {"model": "tiny", "correct": r["is_correct"]}],
            }
            for r in PLAIN
        ],
        {
            "models": [
                {"name": "big", "results": [{"id": r["id"], "correct": True} for r in PLAIN]},
                {"name": "tiny", "results": [{"id": r["id"], "correct": r["is_correct"]} for r in PLAIN]},
            ]
        },
    ],
    ids=["long", "lists by model", "wide", "nested wide", "lists of answers", "lists of models"],
)
def test_several_models_are_tiers_by_accuracy(tmp_path: Path, value: Any):
    tiny, big = read(tmp_path / "records.json", value)
    assert (tiny.model, big.model) == ("tiny", "big")
    assert column(tiny, "question_id") == column(big, "question_id") == ["a", "b"]
    assert column(tiny, "correct") == [True, False]
    assert column(big, "correct") == [True, True]


def test_several_answers_to_a_question_are_samples(tmp_path: Path):
    rows = [{"id": i, "trial": t, "output": "x", "correct": t == 1} for i in "ab" for t in (2, 1)]
    (table,) = read(tmp_path / "records.jsonl", rows)
    assert column(table, "question_id") == ["a", "a", "b", "b"]
    assert column(table, "sample") == [2, 1, 2, 1]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"logprob": -1.0}, math.exp(-1)),
        ({"logprobs": [0.0, math.log(0.5)]}, 0.75),
        ({"token_logprobs": [{"token": "a", "logprob": math.log(0.25)}]}, 0.25),
        ({"meta": {"probability": 0.125}}, 0.125),
    ],
)
def test_log_probabilities_become_confidences(tmp_path: Path, given: dict[str, Any], expected: float):
    (table,) = read(tmp_path / "records.jsonl", [{**row, "confidence": None, **given} for row in PLAIN])
    assert column(table, "confidence") == pytest.approx([expected] * 2)


def test_a_score_between_0_and_1_is_no_verdict(tmp_path: Path):
    rows = [{"id": n, "output": "x", "score": s, "acc": a} for n, (s, a) in enumerate([(0.2, 0), (0.9, 1)])]
    (table,) = read(tmp_path / "records.jsonl", rows)
    assert column(table, "correct") == [False, True]
    (table,) = read(tmp_path / "records.jsonl", [{"id": r["id"], "output": "x", "score": r["score"]} for r in rows])
    assert "correct" not in table.columns.data


def test_an_answer_is_the_models_where_another_column_is_the_reference(tmp_path: Path):
    rows = [
        {"id": 1, "response": "so 7", "answer": "7", "target": "8"},
        {"id": 2, "response": "4", "answer": "4", "target": "4"},
    ]
    (table,) = read(tmp_path / "records.jsonl", rows)
    assert column(table, "answer") == ["7", "4"]
    assert column(table, "gold") == ["8", "4"]
    assert column(table, "question_id") == ["1", "2"]


def test_the_users_columns_win_over_what_is_guessed(tmp_path: Path):
    path = tmp_path / "records.json"
    path.write_text(json.dumps({"rows": [{**row, "strict": False} for row in PLAIN]}))
    found = read_guessed(str(path), None, {"correct": "strict"}, "columns")
    assert found is not None
    assert column(found.tables[0], "correct") == [False, False]
    assert "correct from strict" in found.line
    assert read_guessed(str(path), None, {"correct": "stricter"}, "columns") is None


def test_scores_of_0_and_100_are_verdicts(tmp_path: Path):
    (table,) = read(tmp_path / "a.json", [{**row, "is_correct": 100 * row["is_correct"]} for row in PLAIN])
    assert column(table, "correct") == [True, False]


def test_scores_of_1_and_100_are_no_verdicts(tmp_path: Path):
    rows = [{"id": str(n), "response": "x", "score": score} for n, score in enumerate((0, 1, 100))]
    (table,) = read(tmp_path / "a.json", rows)
    assert "correct" not in table.columns.data
