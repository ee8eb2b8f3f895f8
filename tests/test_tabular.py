"""Files as other tools write them: each is read, or refused in one line that names file, row and column."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corea.answers.table import read_answers
from corea.errors import UserError
from corea.tabular import read_columns, read_rows, table_kind, table_stem

ROWS = [
    {"question_id": "a", "tier": 0, "correct": True, "confidence": 0.9},
    {"question_id": "a", "tier": 1, "correct": True, "confidence": None},
    {"question_id": "b", "tier": 0, "correct": False, "confidence": 0.3},
    {"question_id": "b", "tier": 1, "correct": True, "confidence": None},
]


def changed(row: int, **values: Any) -> list[dict[str, Any]]:
    return [{**r, **values} if i == row else r for i, r in enumerate(ROWS)]


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(delimiter: str = ",", rows: list[dict[str, Any]] = ROWS, encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def parquet(rows: list[dict[str, Any]] = ROWS, **columns: pa.Array) -> bytes:
    whole = pa.Table.from_pylist(rows)
    for name, values in columns.items():
        at = whole.column_names.index(name)
        whole = whole.set_column(at, name, values)
    sink = io.BytesIO()
    pq.write_table(whole, sink)
    return sink.getvalue()


def zst(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


def worded(right: str, wrong: str) -> list[dict[str, Any]]:
    return [{**r, "correct": right if r["correct"] else wrong} for r in ROWS]


READ = {
    "plain.jsonl": jsonl(ROWS),
    "list.json": json.dumps(ROWS).encode(),
    "indented.json": json.dumps(ROWS, indent=2).encode(),
    "under_a_key.json": json.dumps({"version": 1, "results": ROWS}).encode(),
    "lines.json": jsonl(ROWS),
    "blank_lines.jsonl": b"\n" + jsonl(ROWS).replace(b"\n", b"\r\n\r\n"),
    "bom.jsonl": b"\xef\xbb\xbf" + jsonl(ROWS),
    "utf16.jsonl": jsonl(ROWS).decode().encode("utf-16"),
    "packed.jsonl.gz": gzip.compress(jsonl(ROWS)),
    "packed.jsonl.zst": zst(jsonl(ROWS)),
    "packed.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "packed.csv.zst": zst(table()),
    "packed.parquet.gz": gzip.compress(parquet()),
    "plain.csv": table(),
    "bom.csv": b"\xef\xbb\xbf" + table(),
    "utf16.csv": table(encoding="utf-16"),
    "semicolon.csv": table(";"),
    "tab.csv": table("\t"),
    "tab.tsv": table("\t"),
    "pipe.csv": table("|"),
    "commas.tsv": table(),
    "UPPER.CSV": table(),
    "Upper.Jsonl.GZ": gzip.compress(jsonl(ROWS)),
    "spaces.csv": table().replace(b"question_id,tier", b"question_id, tier "),
    "long_cell.csv": table(rows=[{**r, "note": "line\n" * 300_000} for r in ROWS]),
    "plain.parquet": parquet(),
    "large_strings.parquet": parquet(question_id=pa.array(["a", "a", "b", "b"], pa.large_string())),
    "dictionary.parquet": parquet(question_id=pa.array(["a", "a", "b", "b"]).dictionary_encode()),
    "binary_ids.parquet": parquet(question_id=pa.array([b"a", b"a", b"b", b"b"])),
    "decimals.parquet": parquet(confidence=pa.array([0.9, None, 0.3, None]).cast(pa.decimal128(5, 2))),
    "yes_no.csv": table(rows=worded("yes", "no")),
    "pass_fail.jsonl": jsonl(worded("PASS", "Fail")),
    "correct_incorrect.csv": table(rows=worded("Correct", "Incorrect")),
    "one_letter.jsonl": jsonl(worded("C", "I")),
    "numbers.jsonl": jsonl(worded(1.0, 0)),  # type: ignore[arg-type]
    "other_columns_are_nested.jsonl": jsonl(
        [{**r, "messages": [{"role": "user"}], "x": {"y": [1, "z"]}} for r in ROWS]
    ),
    "surrogate_elsewhere.jsonl": jsonl([{**r, "note": "\ud83d"} for r in ROWS]),
    "mixed_elsewhere.jsonl": jsonl([{**r, "note": [1, "x", None, {"k": 1}][i]} for i, r in enumerate(ROWS)]),
    "huge_number_elsewhere.jsonl": jsonl([{**r, "note": 10**30} for r in ROWS]),
}


@pytest.mark.parametrize("name", READ)
def test_these_files_are_read_to_the_same_answers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(READ[name])
    frame = read_answers(tmp_path / name).frame
    assert frame["question_id"].tolist() == ["a", "a", "b", "b"]
    assert frame["tier"].tolist() == [0, 1, 0, 1]
    assert frame["correct"].tolist() == [1.0, 1.0, 0.0, 1.0]
    np.testing.assert_array_equal(frame["confidence"], [0.9, np.nan, 0.3, np.nan])


REFUSED: dict[str, tuple[bytes, str]] = {
    "id_list.jsonl": (jsonl(changed(2, question_id=["b"])), "column question_id: holds a list or an object; .*row 3"),
    "id_object.jsonl": (
        jsonl([{**r, "question_id": {"id": r["question_id"]}} for r in ROWS]),
        r"column question_id: .* like question_id\.id: 4 rows \(1, 2, 3, 4\), first",
    ),
    "id_list.parquet": (
        parquet([{**r, "question_id": [r["question_id"]]} for r in ROWS]),
        r"column question_id: holds a list or an object; .* like question_id\.0: 4 rows",
    ),
    "confidence_list.jsonl": (jsonl(changed(0, confidence=[0.9])), "column confidence: holds a list .*: row 1"),
    "verdict_object.jsonl": (jsonl(changed(1, correct={"score": 1})), r"column correct: .* like correct\.score: row 2"),
    "latin1.csv": (table(rows=changed(2, question_id="é")).decode().encode("latin-1"), "line 4 is not UTF-8 text"),
    "latin1.jsonl": (jsonl(ROWS) + b'{"question_id": "\xe9"}\n', "line 5 is not UTF-8 text .byte 0xe9."),
    "utf16_without_mark.csv": (table(encoding="utf-16-le"), "not UTF-8 text .it holds NUL bytes"),
    "half_utf16.jsonl": (jsonl(ROWS).decode().encode("utf-16")[:-1], "not readable UTF-16 text"),
    "twice.csv": (b"question_id,tier,correct,tier\na,0,1,0\n", "duplicate column names: tier"),
    "twice.jsonl": (jsonl(ROWS) + b'{"tier": 0, "tier": 1}\n', "line 5 holds the key 'tier' twice"),
    "twice.parquet": (
        (lambda s: (pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["tier", "tier"]), s), s.getvalue())[1])(
            io.BytesIO()
        ),
        "duplicate column names: tier",
    ),
    "nan_confidence.jsonl": (jsonl(changed(2, confidence=float("nan"))), "column confidence: NaN is not .*: row 3"),
    "nan_verdict.jsonl": (jsonl(changed(2, correct=float("nan"))), "column correct: NaN is not a number.*: row 3"),
    "nan_id.jsonl": (jsonl(changed(2, question_id=float("nan"))), "column question_id: a value is required: row 3"),
    "infinite_tier.jsonl": (jsonl(changed(2, tier=float("inf"))), "column tier: allowed is a whole number >= 0: row 3"),
    "huge_tier.jsonl": (jsonl(changed(2, tier=10**25)), "column tier: allowed is a whole number >= 0: row 3"),
    "negative_infinite_cost.jsonl": (jsonl(changed(0, cost_usd=-float("inf"))), "column cost_usd: allowed is a finite"),
    "percent.csv": (
        table(rows=[{**r, "confidence": 85} for r in ROWS]),
        r"column confidence: outside \[0, 1\] \(percentages are read with confidence_scale=100\): 4 rows",
    ),
    "percent_signs.csv": (
        table(rows=[{**r, "confidence": "85%"} for r in ROWS]),
        r"column confidence: not a number \(percentages are read with confidence_scale=100\): 4 rows .*, first '85%'",
    ),
    "huge_cost.jsonl": (jsonl(changed(0, cost_usd=1e30)), r"column cost_usd: allowed is .* >= 0, at most 2\^53: row 1"),
    "utf32.csv": (table(encoding="utf-32"), "not UTF-8 text .it begins as UTF-32 does"),
    "blank.csv": (b"\n\n", "the table holds no rows"),
    "empty_object.json": (b"{}", "required column missing: .*; the file has no columns"),
    "long_header.csv": (
        (",".join(f"{'c' * 300}{i}" for i in range(400)) + "\n" + ",".join("1" * 400) + "\n").encode(),
        "required column missing",
    ),
    "decimal_comma.csv": (
        table(";", changed(0, confidence="0,9")),
        "column confidence: not a number: row 1, first '0,9'",
    ),
    "grade_words.csv": (
        table(rows=worded("good", "bad")),
        "column correct: allowed is true, false, 1, 0 or null .or yes/no, pass/fail, correct/incorrect, C/I.: 4 rows",
    ),
    "binary.parquet": (
        parquet(question_id=pa.array([b"a", b"a", b"\xff", b"b"])),
        "column question_id: holds bytes that are not UTF-8",
    ),
    "times.parquet": (
        parquet(confidence=pa.array([0, 1, 2, 3], pa.timestamp("s"))),
        "column confidence: holds timestamp",
    ),
    "ragged.csv": (table() + b"c,0\n", "not a readable CSV file: row 5: Expected 4 columns, got 2: c,0"),
    "no_rows.csv": (b"question_id,tier,correct\n", "holds no rows; its columns are question_id, tier, correct"),
    "no_rows.parquet": (parquet()[:0] or parquet(ROWS[:1])[:40], "not a readable Parquet file"),
    "empty_list.json": (b"[]", "the table holds no rows"),
    "number.json": (b"12", "line 1 is not a JSON object"),
    "list_of_lists.json": (b"[[1, 2]]", "row 1 is not a JSON object"),
    "half.json": (json.dumps(ROWS, indent=1).encode()[:-5], "line 1 is not JSON|line 1 is not a JSON object"),
    "deep.jsonl": (b"[" * 100_000, "line 1 is not JSON that can be read: nested too deeply"),
    "digits.jsonl": (b'{"tier": ' + b"9" * 5000 + b"}", "line 1 is not JSON that can be read: Exceeds the limit"),
    "cut.jsonl.gz": (gzip.compress(jsonl(ROWS * 50))[:-9], "not a readable compressed file: Truncated"),
    "not_packed.jsonl.gz": (jsonl(ROWS), "not a readable compressed file"),
    "not_packed.csv.zst": (table(), "not a readable compressed file"),
    "text.parquet": (b"question_id,tier\n", "not a readable Parquet file"),
    "other_names.csv": (
        b"id,level,is_right,prob\na,0,1,0.5\n",
        "required column missing: question_id, tier, correct; the file has id, level, is_right, prob; perhaps "
        "columns.question_id=id columns.tier=level columns.correct=is_right",
    ),
    "no_column_alike.csv": (b"x,y\n1,2\n", "the file has x, y; map one with columns.NAME="),
    "many_columns.csv": (
        (",".join(f"column_{i}" for i in range(500)) + "\n" + ",".join("1" * 500) + "\n").encode(),
        "required column missing: .*the file has column_0, .*…",
    ),
    "table.xlsx": (b"PK", "unknown kind of table; allowed is a file ending in .parquet, .jsonl"),
    "table.gz": (b"x", "unknown kind of table"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_these_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, message = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read_answers(tmp_path / name)
    text = str(error.value)
    assert text.startswith(str(tmp_path / name))
    assert "\n" not in text
    assert len(f"corea.evaluate: {text}") <= 300


def test_a_lone_surrogate_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x\\ud83d y", "pair": "\\ud83d\\ude00"}\n')
    assert read_rows(tmp_path / "a.jsonl") == [{"text": "x\ufffd y", "pair": "\U0001f600"}]
    assert read_columns(tmp_path / "a.jsonl").data["text"].to_pylist() == ["x\ufffd y"]


NESTED = [{"id": 1, "response": [{"text": "five", "p": 0.5}]}, {"id": 2, "response": []}]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_part_of_a_nested_column_is_named_by_dots(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"nested.{kind}"
    path.write_bytes(jsonl(NESTED) if kind == "jsonl" else parquet(NESTED))
    names = {"text": "response.0.text", "confidence": "response.0.p", "question_id": "id"}
    columns = read_columns(path, lambda name: name in names, names)
    assert columns.data["text"].to_pylist() == ["five", None]
    assert columns.data["confidence"].to_pylist() == [0.5, None]
    assert columns.found == ["id", "response"]
    with pytest.raises(UserError, match=r"columns.text=response.1.text: no such column; the file has id, response"):
        read_columns(path, lambda name: name in names, {"text": "response.1.text"})


def test_a_column_whose_own_name_holds_dots_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,scores.main,scores.0\n1,0.5,x\n")
    names = {"confidence": "scores.main", "text": "scores.0"}
    columns = read_columns(tmp_path / "a.csv", lambda name: name in names, names)
    assert {k: v.to_pylist() for k, v in columns.data.items()} == {"confidence": ["0.5"], "text": ["x"]}


def test_one_column_may_serve_under_two_names(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([{"response": "5"}]))
    columns = read_columns(tmp_path / "a.jsonl", names={"text": "response", "answer": "response"})
    assert columns.data["text"].to_pylist() == columns.data["answer"].to_pylist() == ["5"]


def test_percentages_are_read_with_a_scale(tmp_path: Path) -> None:
    rows = [{**r, "confidence": "85%" if r["tier"] == 0 else None} for r in ROWS]
    (tmp_path / "a.jsonl").write_bytes(jsonl(changed(0, confidence=90)[:1] + rows[1:]))
    frame = read_answers(tmp_path / "a.jsonl", confidence_scale=100).frame
    np.testing.assert_array_equal(frame["confidence"], [0.9, np.nan, 0.85, np.nan])
    (tmp_path / "b.jsonl").write_bytes(jsonl(changed(0, confidence=101)))
    with pytest.raises(UserError, match=r"column confidence: outside \[0, 100\]: row 1, first 101"):
        read_answers(tmp_path / "b.jsonl", confidence_scale=100)


def test_rows_of_every_kind_of_file(tmp_path: Path) -> None:
    for name, data in {
        "a.jsonl": jsonl(ROWS),
        "a.json": json.dumps(ROWS).encode(),
        "a.parquet": parquet(),
        "a.jsonl.gz": gzip.compress(jsonl(ROWS)),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert read_rows(tmp_path / name) == ROWS, name
    (tmp_path / "a.csv").write_bytes(table())
    assert read_rows(tmp_path / "a.csv", ["tier", "confidence"])[1] == {"tier": "1", "confidence": ""}


def test_names_of_files() -> None:
    assert table_kind(Path("x/train.jsonl.gz")) == ".jsonl"
    assert table_kind(Path("v1.2.csv")) == ".csv"
    assert table_kind(Path("train.txt.gz")) is None
    assert table_stem(Path("x/train-0.parquet.zst")) == "train-0"
