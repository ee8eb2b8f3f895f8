"""Tables that others recorded: other column names, Arrow folders, and the example of the documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from answer_tables import write_jsonl
from corea.answers.table import read_answers
from corea.errors import UserError
from corea.tabular_arrow import file_hash

REPO = Path(__file__).parents[2]


def test_columns_by_other_names(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    # the file has a column `confidence` of its own, which is not the one that is asked for
    rows = [{**{k: v for k, v in r.items() if k != "correct"}, "is_right": r["correct"], "p": 0.5} for r in hand_rows]
    path = write_jsonl(tmp_path / "theirs.jsonl", rows)
    answers = read_answers(path, names={"correct": "is_right", "confidence": "p"})
    assert set(answers.frame["confidence"]) == {0.5}
    assert answers.frame["correct"].sum() == 5
    with pytest.raises(UserError, match=r"theirs.jsonl: columns.correct=right: no such column"):
        read_answers(path, names={"correct": "right"})
    write_jsonl(path, [*rows[:-1], {**rows[-1], "is_right": 2}])
    with pytest.raises(UserError, match=rf"column is_right: allowed is true, .*: row {len(rows)}, first 2"):
        read_answers(path, names={"correct": "is_right", "confidence": "p"})


def test_a_folder_of_arrow_streams(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for number, part in enumerate((hand_rows[:4], hand_rows[4:])):
        table = pa.Table.from_pylist(part)
        sink = pa.OSFile(str(folder / f"data-0000{number}-of-00002.arrow"), "wb")
        with sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text("{}")
    same = read_answers(write_jsonl(tmp_path / "answers.jsonl", hand_rows))
    assert read_answers(folder).frame.drop(columns="status").equals(same.frame.drop(columns="status"))
    assert len(file_hash(folder)) == 64
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is a folder without"):
        read_answers(tmp_path / "empty")


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (REPO / "docs" / "bring_your_own_answers.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    script = code[1].replace('"python -m', f'"{sys.executable} -m')
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=240)
    metrics = json.loads((tmp_path / "results" / "metrics.json").read_text())
    assert metrics["pooled"]["llm"]["accuracy"]["value"] > 0.8
    assert (tmp_path / "results" / "report.html").exists()


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_a_data_set_with_splits(tmp_path: Path, hand_rows: list[dict[str, Any]], kind: str) -> None:
    """The folders of DatasetDict.save_to_disk and of a hub repository: the split is in the names of the files."""
    parts = {"calibration": hand_rows[:4], "test": hand_rows[4:]}
    for split, rows in parts.items():
        table = pa.Table.from_pylist(rows)
        if kind == "parquet":
            (tmp_path / "set" / "data").mkdir(parents=True, exist_ok=True)
            pq.write_table(table, tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
        else:
            (tmp_path / "set" / split).mkdir(parents=True)
            file = tmp_path / "set" / split / "data-00000-of-00001.arrow"
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
    frame = read_answers(tmp_path / "set").frame
    found = frame.groupby("split", observed=True)["question_id"].unique().map(sorted).to_dict()
    assert found == {"calibration": ["a", "b"], "test": ["c", "d", "e"]}
    assert len(file_hash(tmp_path / "set")) == 64


def test_what_the_library_datasets_writes(tmp_path: Path, hand_rows: list[dict[str, Any]]) -> None:
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_list(hand_rows)
    saved.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": saved}).save_to_disk(tmp_path / "dict")
    same = read_answers(write_jsonl(tmp_path / "answers.jsonl", hand_rows)).frame
    for name in ("one", "dict"):
        assert read_answers(tmp_path / name).frame.equals(same)
