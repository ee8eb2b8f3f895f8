"""Tables that others recorded: other column names, Arrow folders, and the example of the documentation."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cascade_tables import write_jsonl

from corea.cascade.run import file_hash
from corea.cascade.table import read_answers
from corea.errors import UserError

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
