"""The one list of the columns of the answers table, and what reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from corea.answers.schema import REQUIRED, TYPES, write_answers
from corea.config import EvaluateConfig, ReplayEngineConfig
from corea.config.answer_columns import COLUMNS, KINDS
from corea.types import RETRIES


def test_every_column_stands_once_with_a_known_kind_and_a_meaning() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names)) == 24
    assert {column.kind for column in COLUMNS} == set(KINDS)
    assert all(column.meaning for column in COLUMNS)
    assert REQUIRED == ("question_id", "tier", "correct")
    assert set(RETRIES) < set(names)


def test_configuration_and_table_share_the_list() -> None:
    read = set(EvaluateConfig.__dataclass_fields__["columns"].default_factory())
    assert read == set(TYPES) - {"source", "finish_reason", "error"}
    recorded = ReplayEngineConfig().columns
    assert recorded["correct"] == "recorded_correct"
    assert set(recorded) < read


def test_a_written_table_leaves_out_empty_optional_columns_and_puts_signals_last(tmp_path: Path) -> None:
    row = {"question_id": "a", "tier": 0, "correct": True, "confidence_vote": 0.5, "cost_usd": None, "gold": "5"}
    write_answers(tmp_path / "answers.parquet", [row], {"prices": {}})
    table = pq.read_table(tmp_path / "answers.parquet")
    assert "cost_usd" not in table.column_names
    assert table.column("gold").to_pylist() == ["5"]
    assert table.column_names[-1] == "confidence_vote"
    assert table.schema.metadata[b"corea"] == b'{"prices": {}}'
